//! Up to where a stream is to be heard before somebody is told.

/// The points of a stream that [`super::RenderStream::drain`] has asked for.
///
/// There is the one that is reported next and the latest one behind it. Asked once more, the latest moves on: so a
/// stream that is asked again and again is told again and again, and nothing piles up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Drains {
    next: Option<Point>,
    latest: Option<Point>,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    /// Frames of the stream up to here.
    frames: u64,
    /// Where on the bus the last of them ends, once it was mixed.
    ends_at: Option<u64>,
}

impl Drains {
    /// Asks for the first `frames` frames of the stream to be heard.
    pub(super) fn ask(&mut self, frames: u64) {
        let place = if self.next.is_none() { &mut self.next } else { &mut self.latest };
        *place = Some(Point { frames, ends_at: None });
    }

    /// Asks for what was heard long ago: to be told at once.
    pub(super) fn ask_for_the_past(&mut self) {
        self.next = Some(Point { frames: 0, ends_at: Some(0) });
    }

    /// Whether something is still to be told.
    pub(super) fn is_pending(&self) -> bool {
        self.next.is_some()
    }

    /// Whether a point was not mixed yet: what is queued before it plays, however little it is.
    pub(super) fn is_open(&self) -> bool {
        self.points().any(|point| point.ends_at.is_none())
    }

    /// The stream has been taken up to `frames`, and what was taken ends on the bus at `ends_at`.
    pub(super) fn taken(&mut self, frames: u64, ends_at: u64) {
        for point in self.points_mut().filter(|point| point.frames <= frames) {
            point.ends_at.get_or_insert(ends_at);
        }
    }

    /// Everything that was taken has come out, and ended on the bus at `end`.
    pub(super) fn all_out(&mut self, end: u64) {
        for ends_at in self.points_mut().filter_map(|point| point.ends_at.as_mut()) {
            *ends_at = end.min(*ends_at);
        }
    }

    /// Whether a point was passed now that the bus has been heard up to `heard`.
    pub(super) fn is_heard(&self, heard: u64) -> bool {
        self.next.is_some_and(|point| point.is_heard(heard))
    }

    /// What [`Drains::is_heard`] said was told. Points that were passed together are told together.
    pub(super) fn settle(&mut self, heard: u64) {
        for _ in 0..2 {
            if self.is_heard(heard) {
                self.next = self.latest.take();
            }
        }
    }

    fn points(&self) -> impl Iterator<Item = &Point> {
        self.next.iter().chain(&self.latest)
    }

    fn points_mut(&mut self) -> impl Iterator<Item = &mut Point> {
        self.next.iter_mut().chain(&mut self.latest)
    }
}

impl Point {
    fn is_heard(&self, heard: u64) -> bool {
        self.ends_at.is_some_and(|end| end <= heard)
    }
}
