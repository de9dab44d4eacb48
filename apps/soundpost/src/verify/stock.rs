//! The stock endpoints, in several formats and with clocks that are off.

use std::sync::Arc;

use soundpost_core::{ChannelCount, ChannelLayout, Clock, Format, Gain, Hns, SampleFormat, SampleRate};
use soundpost_endpoint::DataFlow;
use soundpost_endpoint::stock::{
    RateOffset, Stock, StockConfig, TestSignal, Tone, null_capture, null_render, test_signal, tone,
};
use soundpost_testkit::verify::{Made, Subject};

struct StockSubject {
    name: &'static str,
    flow: DataFlow,
    config: StockConfig,
    make: fn(&StockConfig, Arc<dyn Clock>) -> Stock,
}

impl Subject for StockSubject {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn flow(&self) -> DataFlow {
        self.flow
    }

    fn make(&self, clock: Arc<dyn Clock>) -> Result<Made, String> {
        Ok((self.make)(&self.config, clock).into())
    }
}

fn config(sample: SampleFormat, rate: SampleRate, channels: u16) -> StockConfig {
    let channels = ChannelCount::new(channels).unwrap_or(ChannelCount::STEREO);
    StockConfig::new(Format { sample, rate, layout: ChannelLayout::default_for(channels) })
}

pub(super) fn subjects() -> Vec<Box<dyn Subject>> {
    use DataFlow::{Capture, Render};
    let cd = config(SampleFormat::S16, SampleRate::HZ_44100, 2);
    let float = config(SampleFormat::F32, SampleRate::HZ_48000, 2);
    let surround = config(SampleFormat::S24, SampleRate::HZ_48000, 6);
    let mono = config(SampleFormat::U8, SampleRate::MIN, 1);
    let driving = StockConfig { event_driven: true, offset: RateOffset::from_ppm(300), ..cd };
    let slow = StockConfig { minimum_latency: Hns::from_millis(25), offset: RateOffset::from_ppm(-500), ..float };
    let sine: fn(&StockConfig, Arc<dyn Clock>) -> Stock =
        |config, clock| tone(config, clock, Tone::new(440_000, Gain::new(0.5)));
    let noise: fn(&StockConfig, Arc<dyn Clock>) -> Stock =
        |config, clock| test_signal(config, clock, TestSignal::Noise { seed: 7 });
    let counter: fn(&StockConfig, Arc<dyn Clock>) -> Stock =
        |config, clock| test_signal(config, clock, TestSignal::Counter);
    let list = [
        StockSubject { name: "null-render", flow: Render, config: slow, make: null_render },
        StockSubject { name: "null-render-driving", flow: Render, config: driving, make: null_render },
        StockSubject { name: "null-capture", flow: Capture, config: float, make: null_capture },
        StockSubject { name: "tone", flow: Capture, config: surround, make: sine },
        StockSubject { name: "test-signal", flow: Capture, config: mono, make: counter },
        StockSubject { name: "test-signal-driving", flow: Capture, config: driving, make: noise },
    ];
    list.into_iter().map(|subject| -> Box<dyn Subject> { Box::new(subject) }).collect()
}
