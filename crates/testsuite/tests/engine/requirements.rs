//! Requirements on the engine that have no better place: R5, T4, T14.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use soundpost_core::FrameCount;
use soundpost_endpoint::stock::{CaptureClock, ClockControl, ClockedControl, PacketBuffer, RateOffset, StockConfig};
use soundpost_endpoint::{
    BufferFlag, Captured, CurrentPadding, DataFlow, Endpoint, EndpointRt, InputEndpointRt, Position, PositionFlag,
};
use soundpost_engine::{AttachConfig, DeviceConfig, StreamConfig};
use soundpost_testkit::Call;

use super::scene::{S16, Scene, ms, noise};
use crate::guard::no_alloc;

#[test]
fn r5_an_application_cannot_tell_endpoints_from_none() {
    // What an application sees of its stream, every 5 ms, while listeners come and go.
    let seen = |listeners: usize| {
        let mut scene = Scene::new();
        let mut attached = Vec::new();
        let mut player = scene.player(S16, noise(S16, 96_000, 1));
        let mut seen = Vec::new();
        for step in 0..100 {
            if step % 10 == 5 && attached.len() < listeners {
                attached.push(scene.listener(S16));
            }
            if step % 30 == 25
                && let Some((_, endpoint, _probe)) = attached.pop()
            {
                scene.runner.engine.unregister(scene.session, endpoint).unwrap();
            }
            scene.play(&mut [&mut player], ms(5));
            let writer = player.writer.as_mut().unwrap();
            seen.push((writer.position(), writer.queued(), writer.space(), writer.is_closed()));
        }
        seen
    };
    let without = seen(0);
    assert!(without.last().unwrap().0.get() > 20_000);
    assert_eq!(without, seen(1));
    assert_eq!(without, seen(3));
}

/// A microphone that counts acquires whose record does not come in as T4 says, and leaves rubbish in it.
struct Rubbish {
    clock: CaptureClock,
    buffer: PacketBuffer,
    acquires: Arc<AtomicU64>,
    wrong: Arc<AtomicU64>,
}

impl EndpointRt for Rubbish {
    fn current_padding(&mut self) -> CurrentPadding {
        self.clock.padding()
    }

    fn processing_complete(&mut self) {}
}

impl InputEndpointRt for Rubbish {
    fn acquire(&mut self, frames: FrameCount, position: Option<&mut Position>) -> Option<Captured<'_>> {
        self.acquires.fetch_add(1, Ordering::Relaxed);
        let (_, _, record) = self.clock.acquire(frames)?;
        if let Some(position) = position {
            let invalid = position.flag == PositionFlag::Invalid && *position == Position::default();
            self.wrong.fetch_add(u64::from(!invalid), Ordering::Relaxed);
            *position = Position { flag: PositionFlag::Continuous, padding: u64::MAX, ..record };
        }
        Some(Captured { data: self.buffer.get(frames)?, flag: BufferFlag::Silent })
    }

    fn release(&mut self, used: FrameCount) {
        self.clock.release(used);
    }
}

#[test]
fn t4_every_acquire_begins_with_an_invalid_record() {
    let mut scene = Scene::with(no_alloc, DeviceConfig::new("microphone", DataFlow::Capture));
    let clock = ClockControl::new(S16.rate, RateOffset::NONE, scene.runner.endpoint_clock());
    let (acquires, wrong) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let rubbish = Rubbish {
        clock: clock.capture(),
        buffer: PacketBuffer::new(S16),
        acquires: Arc::clone(&acquires),
        wrong: Arc::clone(&wrong),
    };
    let endpoint = Endpoint::capture(ClockedControl::new(&StockConfig::new(S16), clock), rubbish);
    let endpoint = scene.runner.engine.register(scene.session, "rubbish", endpoint).unwrap();
    let connection = scene.runner.engine.connect(scene.session, scene.device).unwrap();
    scene.runner.engine.attach(scene.session, connection, endpoint, AttachConfig::default()).unwrap();
    let config = StreamConfig::new("recorder", S16);
    let (_, _reader) = scene.runner.engine.open_capture(scene.session, scene.device, config).unwrap();
    scene.runner.run_for(ms(500));
    assert!(acquires.load(Ordering::Relaxed) > 40);
    assert_eq!(wrong.load(Ordering::Relaxed), 0);
}

#[test]
fn t14_what_the_engine_released_is_what_it_counts_and_nothing_is_valid_by_chance() {
    // The record itself is arguments here, which an endpoint cannot change: what is left of T14 is that the engine
    // says "valid" of real frames only, and goes by its own count afterwards.
    let mut scene = Scene::new();
    let (_, _, mut probe) = scene.listener(S16);
    let mut player = scene.player(S16, noise(S16, 9_600, 1));
    scene.play(&mut [&mut player], ms(600));
    let (mut valid, mut silent) = (0, 0);
    for entry in probe.take_calls() {
        match entry.call {
            Call::Release { frames, flag: BufferFlag::Valid } => valid += u64::from(frames.get()),
            Call::Release { frames, flag: BufferFlag::Silent } => silent += u64::from(frames.get()),
            Call::Release { frames, flag: BufferFlag::Invalid } => assert_eq!(frames, FrameCount::ZERO),
            _ => {}
        }
    }
    let stats = scene.connection_stats(0);
    assert_eq!((stats.frames, stats.silent), (valid + silent, silent));
    assert!(silent > 0 && (9_600..9_600 + 480).contains(&valid), "{valid} of 9,600 frames valid");
}
