//! The client's desktop: a panel that says what is being heard.
//!
//! The panel is a card of bounded size in the middle of a plain background, so that what it costs does not depend on
//! the client's screen. It is drawn anew when its state changes, and only the tiles that came out differently are sent.

mod bitmap;
mod draw;

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use ironrdp_core::EncodeResult;

use self::bitmap::{TILE, Tile, encode};
use self::draw::{BACKGROUND, Canvas};
use super::login::Desktop;

/// How the sound is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SoundState {
    /// Channel and format are being settled.
    #[default]
    Connecting,
    /// The client has no channel for sound, or no format in common with the server.
    Unavailable,
    /// All is well; nothing is being played.
    Silent,
    /// Sound is on its way.
    Playing,
    /// The client does not take the sound that is there for it.
    Stalled,
}

/// The level of one channel, as far as a panel can show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    rms: u8,
    peak: u8,
}

impl Meter {
    /// RMS and peak level in dB below full scale.
    #[must_use]
    pub fn new(rms_dbfs: f32, peak_dbfs: f32) -> Self {
        Self { rms: segments(rms_dbfs), peak: segments(peak_dbfs) }
    }
}

/// The number of segments in a meter.
const SEGMENTS: u8 = 48;
/// The level of the lowest segment, in dB below full scale.
const LOWEST_DBFS: f32 = -60.0;

/// How many segments are lit at `dbfs`.
fn segments(dbfs: f32) -> u8 {
    let step = -LOWEST_DBFS / f32::from(SEGMENTS);
    (1..=SEGMENTS).rev().find(|lit| LOWEST_DBFS + step * f32::from(*lit) <= dbfs).unwrap_or(0)
}

/// What a panel shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PanelState {
    /// The session's name.
    pub session: String,
    /// The user that is logged in.
    pub user: String,
    /// The format that goes to this client, such as `PCM, 48 kHz, 16 bit, stereo`; empty while there is none.
    pub format: String,
    /// How the sound is doing.
    pub sound: SoundState,
    /// A few words more about that, such as the latency.
    pub detail: String,
    /// One level per channel, left first. More than eight are not shown.
    pub meters: Vec<Meter>,
}

/// The panel on one client's desktop.
#[derive(Debug)]
pub(super) struct PanelView {
    desktop: Desktop,
    /// Where the card lies on the desktop, in pixels.
    origin: (u16, u16),
    size: (u16, u16),
    /// The state that is on `canvas`, or was.
    shown: Option<PanelState>,
    /// Kept while there are tiles to send from it.
    canvas: Option<Canvas>,
    /// What each tile of the card looks like on the client's side once `dirty` is sent.
    sent: Vec<u64>,
    dirty: VecDeque<Tile>,
    /// Tiles of background still to be sent.
    background: VecDeque<Tile>,
}

impl PanelView {
    pub(super) fn new(desktop: Desktop) -> Self {
        let size = (desktop.width.min(draw::CARD_WIDTH), desktop.height.min(draw::CARD_HEIGHT));
        let mut view = Self {
            desktop,
            origin: ((desktop.width - size.0) / 2, (desktop.height - size.1) / 2),
            size,
            shown: None,
            canvas: None,
            sent: Vec::new(),
            dirty: VecDeque::new(),
            background: VecDeque::new(),
        };
        view.redraw();
        view
    }

    /// Everything is to be sent again.
    pub(super) fn redraw(&mut self) {
        self.background = tiles((self.desktop.width, self.desktop.height))
            .filter(|tile| !tile.lies_within(self.origin, self.size))
            .collect();
        self.sent.clear();
        if let Some(state) = self.shown.take() {
            self.show(state);
        }
    }

    /// Shows `state`. Answers whether that is not what was shown already.
    pub(super) fn show(&mut self, state: PanelState) -> bool {
        if self.shown.as_ref() == Some(&state) {
            return false;
        }
        let canvas = Canvas::draw(self.size, &state);
        let looks: Vec<u64> = tiles(self.size).map(|tile| look(&canvas, tile)).collect();
        for (index, tile) in tiles(self.size).enumerate() {
            if self.sent.get(index) != looks.get(index) && !self.dirty.contains(&tile) {
                self.dirty.push_back(tile);
            }
        }
        self.sent = looks;
        self.canvas = Some(canvas);
        self.shown = Some(state);
        true
    }

    /// The next PDU for the client, at most about 8 KiB long; none where its desktop is up to date.
    pub(super) fn next_update(&mut self) -> EncodeResult<Option<Vec<u8>>> {
        if !self.background.is_empty() {
            return encode(self.desktop, (0, 0), &mut self.background, |_, _| BACKGROUND).map(Some);
        }
        let Some(canvas) = &self.canvas else { return Ok(None) };
        let update = match self.dirty.is_empty() {
            true => None,
            false => Some(encode(self.desktop, self.origin, &mut self.dirty, |x, y| canvas.pixel(x, y))?),
        };
        if self.dirty.is_empty() {
            self.canvas = None;
        }
        Ok(update)
    }
}

/// The tiles of an area, row by row.
fn tiles((width, height): (u16, u16)) -> impl Iterator<Item = Tile> {
    let steps = |length: u16| (0..length).step_by(usize::from(TILE));
    steps(height).flat_map(move |y| {
        steps(width).map(move |x| Tile { x, y, width: TILE.min(width - x), height: TILE.min(height - y) })
    })
}

fn look(canvas: &Canvas, tile: Tile) -> u64 {
    let mut hasher = DefaultHasher::new();
    for y in tile.y..tile.y + tile.height {
        for x in tile.x..tile.x + tile.width {
            canvas.pixel(x, y).hash(&mut hasher);
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::super::login::Depth;
    use super::*;

    fn drain(view: &mut PanelView) -> usize {
        std::iter::from_fn(|| view.next_update().unwrap())
            .inspect(|pdu| assert!(!pdu.is_empty() && pdu.len() < 16 * 1024, "{}", pdu.len()))
            .count()
    }

    #[test]
    fn a_desktop_of_any_size_and_depth_is_covered_once_and_then_left_alone() {
        for depth in [Depth::Bits15, Depth::Bits16, Depth::Bits24, Depth::Bits32] {
            for (width, height) in [(1, 1), (1, 900), (3, 7), (200, 200), (641, 401), (1024, 768), (7680, 200)] {
                let mut view = PanelView::new(Desktop { width, height, depth });
                view.show(PanelState::default());
                assert!(drain(&mut view) > 0);
                view.show(PanelState::default());
                assert_eq!(drain(&mut view), 0);
                view.redraw();
                assert!(drain(&mut view) > 0);
            }
        }
    }

    #[test]
    fn a_moving_meter_costs_little() {
        let mut view = PanelView::new(Desktop { width: 1024, height: 768, depth: Depth::Bits32 });
        let state = |dbfs| PanelState { meters: vec![Meter::new(dbfs, dbfs); 2], ..PanelState::default() };
        view.show(state(-20.0));
        drain(&mut view);
        view.show(state(-18.0));
        let bytes: usize = std::iter::from_fn(|| view.next_update().unwrap()).map(|pdu| pdu.len()).sum();
        assert!(bytes > 0 && bytes < 4096, "{bytes}");
    }

    #[test]
    fn meters_cover_sixty_decibels() {
        assert_eq!((segments(f32::NEG_INFINITY), segments(-60.1), segments(f32::NAN)), (0, 0, 0));
        assert_eq!((segments(-30.0), segments(0.0), segments(6.0)), (SEGMENTS / 2, SEGMENTS, SEGMENTS));
    }
}
