//! Wall time of every case by criterion, for somebody who looks into one: `cargo bench -p soundpost-benches -- pass-64`.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be made is to stop")]

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use soundpost_benches::cases::ALL;

fn all(criterion: &mut Criterion) {
    for recipe in ALL {
        criterion.bench_function(recipe.name(), |bencher| {
            let mut case = recipe.make().unwrap();
            bencher.iter_custom(|runs| {
                let mut sum = Duration::ZERO;
                for _ in 0..runs {
                    case.prepare();
                    let start = Instant::now();
                    case.run();
                    sum += start.elapsed();
                }
                sum
            });
        });
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
