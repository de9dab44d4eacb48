//! The thread: one wait for everything that happens in all sessions.

use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use soundpost_core::{Clock as _, Instant};
use soundpost_endpoint::DataFlow;

use super::devices::PulseDevice;
use super::service::Service;
use super::wake::Wake;
use super::{PulsePlace, PulseSession, PulseStartError};
use crate::clock::MonotonicClock;

/// What epoll calls the passes' event.
pub(super) const WAKE: u64 = 0;
/// Events taken from epoll at once.
const EVENTS: usize = 64;
/// How long the packets of many streams are gathered where somebody waits for an answer, or for sound that is wanted now.
const GATHER: Duration = Duration::from_millis(1);

/// What other threads want of this one, in order.
#[derive(Debug, Default)]
pub(super) struct Orders {
    stop: AtomicBool,
    waiting: AtomicBool,
    list: Mutex<Vec<Order>>,
}

#[derive(Debug)]
pub(super) enum Order {
    /// A device is there from now on, in the session of this number.
    Plug(usize, PulseDevice, SyncSender<Result<(), PulseStartError>>),
    /// A device is gone.
    Unplug(usize, DataFlow, CString, SyncSender<()>),
}

impl Orders {
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// To be done by the thread when it is woken next.
    pub(super) fn give(&self, order: Order) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).push(order);
        self.waiting.store(true, Ordering::Release);
    }

    fn take(&self) -> Vec<Order> {
        if !self.waiting.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut *self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// All sessions, and what the thread waits with.
pub(super) struct Thread<S> {
    services: Vec<Service<S>>,
    epoll: Arc<OwnedFd>,
    wake: Arc<Wake>,
    orders: Arc<Orders>,
    /// There were more events than were taken: there is no time to gather.
    pressed: bool,
    /// When the last pass was seen to.
    passed_at: Instant,
}

impl<S: PulseSession> Thread<S> {
    pub(super) fn new(
        places: Vec<PulsePlace<S>>,
        wake: Arc<Wake>,
        orders: Arc<Orders>,
    ) -> Result<Self, PulseStartError> {
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        epoll::add(&epoll, wake.as_fd(), epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        let services = (0..).zip(places);
        let services = services.map(|(index, place)| Service::new(place, index, epoll.clone(), wake.clone()));
        Ok(Self {
            services: services.collect::<Result<_, _>>()?,
            epoll,
            wake,
            orders,
            pressed: false,
            passed_at: Instant::ORIGIN,
        })
    }

    /// The thread's life.
    pub(super) fn run(mut self) {
        // What a pass takes must be there again before the next one: before ordinary work, where the system grants it.
        if let Err(error) = rustix::process::setpriority_process(None, -11) {
            tracing::debug!(%error, "the sound server for applications runs at the usual priority");
        }
        let mut events = Vec::with_capacity(EVENTS);
        while !self.orders.stop.load(Ordering::Acquire) {
            let timeout = self.timeout();
            events.clear();
            self.gather();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "the sound server for applications cannot wait any more, and ends");
                    return;
                }
            }
            let passed = events.iter().any(|event| event.data.u64() == WAKE);
            if passed {
                self.wake.take();
                self.passed_at = MonotonicClock.now();
            }
            self.services.iter_mut().for_each(|service| service.round(&events));
            self.pressed = events.len() == EVENTS || self.services.iter().any(Service::is_pressed);
            self.orders.take().into_iter().for_each(|order| self.follow(order));
        }
    }

    /// Where many play, each of them would wake the thread for itself in every period: their packets are let come together.
    /// A pass is not kept waiting by it.
    fn gather(&mut self) {
        if self.pressed || !self.services.iter().any(Service::is_crowd) {
            return;
        }
        let calm = self.services.iter().map(Service::calm).min().flatten();
        match calm {
            // The next pass finds what it needs. The signal of the one after it is waited for, and no other.
            Some(half) if self.services.iter().all(Service::strides) => {
                std::thread::sleep((self.passed_at + half * 3).saturating_since(MonotonicClock.now()));
                self.wake.take();
                self.wake.wait(half * 2);
            }
            _ => self.wake.wait(calm.unwrap_or_default().max(GATHER)),
        }
    }

    /// How long there is nothing to do but what events say; none: for ever.
    fn timeout(&self) -> Option<Timespec> {
        let until = self.services.iter().filter_map(Service::next_timeout).min()?;
        let wait = until.saturating_since(MonotonicClock.now());
        Some(Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        })
    }

    /// Who gave the order may have gone meanwhile; it is done all the same.
    fn follow(&mut self, order: Order) {
        match order {
            Order::Plug(session, device, answer) => {
                if let Some(service) = self.services.get_mut(session) {
                    let _ = answer.send(service.plug(device));
                }
            }
            Order::Unplug(session, flow, name, answer) => {
                if let Some(service) = self.services.get_mut(session) {
                    service.unplug(flow, &name);
                    let _ = answer.send(());
                }
            }
        }
    }
}
