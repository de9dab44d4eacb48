//! A pass that does not come back.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::time::Duration;

/// The processor time that one pass may use, in debug builds and under sanitizers too. Passes take microseconds; this
/// is not about slow ones, which a busy machine makes, but about those without an end.
pub const PASS_LIMIT: Duration = Duration::from_secs(3);

/// How often the watching thread looks.
const LOOK: Duration = Duration::from_millis(250);
/// What `/proc/PID/task/TID/stat` counts processor time in.
const TICK: Duration = Duration::from_millis(10);

/// Calls `pass` once; the process is aborted if it uses more than [`PASS_LIMIT`] of processor time. Time in which the
/// thread waits is not counted, so that a busy machine changes nothing.
///
/// The first call of each thread allocates, before the pass. Where there is no `/proc` nothing is watched.
pub fn watch(pass: impl FnOnce()) {
    OWN.with_borrow_mut(|own| {
        let watched = own.get_or_insert_with(register);
        watched.passes.fetch_add(1, Ordering::Relaxed);
    });
    // Leaves the pass also where it panics.
    let _leave = Leave;
    pass();
}

/// A thread that runs passes.
struct Watched {
    /// Odd while the thread is in a pass.
    passes: AtomicU64,
    /// Its `/proc/PID/task/TID/stat`.
    stat: PathBuf,
}

thread_local! {
    static OWN: RefCell<Option<Arc<Watched>>> = const { RefCell::new(None) };
}

static THREADS: Mutex<Vec<Weak<Watched>>> = Mutex::new(Vec::new());
static WATCHING: Once = Once::new();

struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        OWN.with_borrow(|own| {
            if let Some(watched) = own {
                watched.passes.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}

fn register() -> Arc<Watched> {
    let thread = fs::read_link("/proc/thread-self").unwrap_or_default();
    let watched =
        Arc::new(Watched { passes: AtomicU64::new(0), stat: PathBuf::from("/proc").join(thread).join("stat") });
    THREADS.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&watched));
    WATCHING.call_once(|| {
        // It ends with the process.
        let _ = std::thread::Builder::new().name("pass-watch".into()).spawn(look_for_ever);
    });
    watched
}

fn look_for_ever() {
    // For each thread: the pass it was in, and its processor time when it was first seen in it.
    let mut seen: Vec<(Weak<Watched>, u64, Duration)> = Vec::new();
    loop {
        std::thread::sleep(LOOK);
        let threads = {
            let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
            threads.retain(|thread| thread.strong_count() > 0);
            threads.clone()
        };
        seen.retain(|(thread, ..)| thread.strong_count() > 0);
        for watched in threads.iter().filter_map(Weak::upgrade) {
            let pass = watched.passes.load(Ordering::Relaxed);
            let Some(used) = (!pass.is_multiple_of(2)).then(|| processor_time(&watched.stat)).flatten() else {
                continue;
            };
            let own = Arc::as_ptr(&watched);
            match seen.iter_mut().find(|(thread, ..)| std::ptr::eq(thread.as_ptr(), own)) {
                Some((_, first, since)) if *first == pass => {
                    if used.saturating_sub(*since) > PASS_LIMIT {
                        report_and_abort(used.saturating_sub(*since));
                    }
                }
                Some((_, first, since)) => (*first, *since) = (pass, used),
                None => seen.push((Arc::downgrade(&watched), pass, used)),
            }
        }
    }
}

#[expect(clippy::print_stderr, reason = "the last words of a test")]
fn report_and_abort(used: Duration) -> ! {
    eprintln!("a pass does not come back: it has used {used:?} of processor time");
    std::process::abort()
}

/// What a thread has used so far, in user and in kernel mode.
fn processor_time(stat: &std::path::Path) -> Option<Duration> {
    let text = fs::read_to_string(stat).ok()?;
    // The name, in brackets, may hold anything.
    let (_, fields) = text.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11).map_while(|field| field.parse::<u32>().ok());
    Some(TICK * (times.next()?.saturating_add(times.next()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_time_of_a_thread_is_read() {
        let own = fs::read_link("/proc/thread-self").unwrap();
        let stat = PathBuf::from("/proc").join(own).join("stat");
        let before = processor_time(&stat).unwrap();
        while processor_time(&stat).unwrap() <= before {
            std::hint::black_box((0..100_000).sum::<u64>());
        }
    }

    #[test]
    fn a_thread_is_in_a_pass_for_as_long_as_it_is() {
        let passes = || OWN.with_borrow(|own| own.as_ref().map(|own| own.passes.load(Ordering::Relaxed)));
        watch(|| assert_eq!(passes(), Some(1)));
        assert_eq!(passes(), Some(2));
        assert!(std::panic::catch_unwind(|| watch(|| panic!("planted"))).is_err());
        assert_eq!(passes(), Some(4));
    }
}
