//! What is verified: a source of fresh endpoints.

use std::sync::Arc;

use soundpost_core::{Clock, Instant};
use soundpost_endpoint::stock::{Device, Stock};
use soundpost_endpoint::{DataFlow, Endpoint};

/// By which time an endpoint's device runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// By the clock that it is made with: the kit's virtual one.
    Given,
    /// By a clock of its own: the kit waits in real time.
    Own,
    /// By its data: it takes what comes when it comes, and holds nothing. Its records have the time of the clock that
    /// it is made with.
    Data,
}

/// An endpoint to be verified. Makes a fresh one for every check.
pub trait Subject: Send + Sync {
    /// What the report calls it.
    fn name(&self) -> String;

    /// In which direction it carries sound.
    fn flow(&self) -> DataFlow;

    /// By which time its device runs.
    fn pace(&self) -> Pace {
        Pace::Given
    }

    /// Why it does not owe the real-time rules (X2): it is for runs off line, and says so. It may allocate and wait in a
    /// pass then, and must not panic all the same.
    fn off_line(&self) -> Option<&'static str> {
        None
    }

    /// A fresh endpoint. `clock` is the one to run by ([`Pace::Given`]).
    ///
    /// # Errors
    /// Why there is none, in a line: the run ends with it.
    fn make(&self, clock: Arc<dyn Clock>) -> Result<Made, String>;
}

/// A fresh endpoint and what is behind it.
pub struct Made {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// What is behind it.
    pub backstage: Box<dyn Backstage>,
}

impl Made {
    /// An endpoint behind which nothing is to be seen or done.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, backstage: Box::new(Unattended) }
    }
}

impl From<Stock> for Made {
    fn from(stock: Stock) -> Self {
        Self { endpoint: stock.endpoint, backstage: Box::new(StockBackstage(stock.device)) }
    }
}

/// What is behind an endpoint: who attends to its device as time passes, and what was heard.
pub trait Backstage: Send {
    /// When something has to be attended to next.
    fn next(&mut self) -> Option<Instant> {
        None
    }

    /// Time has come to `now`.
    fn attend(&mut self, now: Instant) {
        let _ = now;
    }

    /// Every frame that a render endpoint's device was given to play, in its format, silence included. Asked once,
    /// after the endpoint was stopped and dropped. `None` where it cannot be observed.
    fn heard(&mut self) -> Option<Vec<u8>> {
        None
    }
}

/// Nobody attends.
#[derive(Clone, Copy, Debug)]
pub struct Unattended;

impl Backstage for Unattended {}

/// The device of an event-driven stock endpoint.
pub struct StockBackstage(pub Device);

impl Backstage for StockBackstage {
    fn next(&mut self) -> Option<Instant> {
        self.0.next_tick()
    }

    fn attend(&mut self, now: Instant) {
        self.0.tick(now);
    }
}
