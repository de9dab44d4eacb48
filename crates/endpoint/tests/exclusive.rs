//! D5 and D1 on the stock endpoints: who may have an endpoint, and when.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::num::NonZeroU32;
use std::sync::Arc;

use soundpost_core::{Clock, Format, Gain, Hns, Instant};
use soundpost_endpoint::exclusive::ExclusiveRequest;
use soundpost_endpoint::stock::{StockConfig, TestSignal, Tone, null_capture, null_render, test_signal, tone};
use soundpost_endpoint::{ControlHalf, Endpoint, EndpointError};

struct Still;

impl Clock for Still {
    fn now(&self) -> Instant {
        Instant::ORIGIN
    }
}

const TEN: Hns = Hns::from_millis(10);

fn request() -> ExclusiveRequest {
    ExclusiveRequest { process: NonZeroU32::MIN, period: TEN, buffer: Hns::from_millis(80), coefficient: 2 }
}

fn all() -> [Endpoint; 4] {
    let config = StockConfig::new(Format::DEFAULT);
    let clock = || Arc::new(Still);
    [
        null_render(&config, clock()).endpoint,
        null_capture(&config, clock()).endpoint,
        tone(&config, clock(), Tone::new(440_000, Gain::MAX)).endpoint,
        test_signal(&config, clock(), TestSignal::Counter).endpoint,
    ]
}

fn controls() -> impl Iterator<Item = Box<dyn ControlHalf>> {
    all().into_iter().map(|endpoint| endpoint.control)
}

#[test]
fn d5_exclusive_mode_fails_once_set_buffer_has_initialised_the_endpoint() {
    for mut control in controls() {
        control.set_buffer(TEN, 2).unwrap();
        assert_eq!(control.exclusive_mode(&request()), Err(EndpointError::InUse));
        control.start().unwrap();
        assert_eq!(control.exclusive_mode(&request()), Err(EndpointError::InUse));
        control.stop().unwrap();
        control.reset().unwrap();
        assert_eq!(control.exclusive_mode(&request()), Err(EndpointError::InUse));
        // What SetBuffer made is given up: now it may.
        control.release_buffer().unwrap();
        control.exclusive_mode(&request()).unwrap();
    }
}

#[test]
fn d1_set_buffer_is_refused_during_exclusive_use_and_open_after_it() {
    for mut control in controls() {
        let plan = control.exclusive_mode(&request()).unwrap();
        assert_eq!((control.frames_per_packet(), control.latency()), (Ok(plan.sizes.packet), Ok(plan.sizes.latency)));
        assert_eq!(control.set_buffer(TEN, 2), Err(EndpointError::InUse));
        assert_eq!(control.exclusive_mode(&request()), Err(EndpointError::InUse), "one client");
        control.start().unwrap();
        assert!(control.set_buffer(TEN, 2).is_err());
        control.release_buffer().unwrap();
        assert_eq!(control.frames_per_packet(), Err(EndpointError::NotInitialized), "as new");
        assert_eq!(control.start(), Err(EndpointError::NotInitialized));
        control.set_buffer(TEN, 2).unwrap();
    }
}

#[test]
fn d5_a_refused_request_leaves_the_endpoint_as_it_was() {
    for mut control in controls() {
        let refused = control.exclusive_mode(&ExclusiveRequest { period: Hns::from_millis(101), ..request() });
        assert!(
            matches!(refused, Err(EndpointError::PeriodOutOfRange { asked, .. }) if asked == Hns::from_millis(101))
        );
        assert_eq!(control.latency(), Err(EndpointError::NotInitialized));
        control.exclusive_mode(&request()).unwrap();
    }
}
