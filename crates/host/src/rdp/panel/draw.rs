//! The panel's card, drawn.

use std::convert::Infallible;

use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor as _};
use embedded_graphics::primitives::{
    Circle, CornerRadii, Primitive as _, PrimitiveStyle, PrimitiveStyleBuilder, Rectangle, RoundedRectangle,
};
use embedded_graphics::text::{Baseline, Text};
use embedded_graphics::{Drawable as _, Pixel as DrawnPixel};
use profont::{PROFONT_12_POINT, PROFONT_14_POINT, PROFONT_18_POINT, PROFONT_24_POINT};

use super::{Meter, PanelState, SEGMENTS, SoundState};

/// The card's size, where the desktop is large enough for it.
pub(super) const CARD_WIDTH: u16 = 640;
/// See [`CARD_WIDTH`].
pub(super) const CARD_HEIGHT: u16 = 416;

/// A colour, 8 bits per channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pixel {
    pub(super) red: u8,
    pub(super) green: u8,
    pub(super) blue: u8,
}

const fn colour(red: u8, green: u8, blue: u8) -> Rgb888 {
    Rgb888::new(red, green, blue)
}

pub(super) const BACKGROUND: Pixel = Pixel { red: 0x12, green: 0x16, blue: 0x1c };
const CARD: Rgb888 = colour(0x1b, 0x21, 0x2a);
const LINE: Rgb888 = colour(0x30, 0x39, 0x46);
const BRIGHT: Rgb888 = colour(0xf2, 0xf5, 0xf8);
const DIM: Rgb888 = colour(0x8a, 0x97, 0xa8);
const ACCENT: Rgb888 = colour(0xe0, 0x9f, 0x4f);
const GREEN: Rgb888 = colour(0x4f, 0xc3, 0x8a);
const AMBER: Rgb888 = colour(0xf0, 0xc0, 0x4c);
const RED: Rgb888 = colour(0xe8, 0x62, 0x5a);
const UNLIT: Rgb888 = colour(0x27, 0x2f, 0x3a);

/// Left and right of everything on the card.
const MARGIN: i32 = 32;
/// Where values begin, right of their labels.
const VALUES: i32 = 168;
/// The most meters that have room.
const MOST_METERS: usize = 8;

/// The card's pixels.
#[derive(Debug)]
pub(super) struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<Pixel>,
}

impl Canvas {
    /// Draws `state` on a card of this size. What does not fit is cut off.
    pub(super) fn draw((width, height): (u16, u16), state: &PanelState) -> Self {
        let (width, height) = (usize::from(width), usize::from(height));
        let mut canvas = Self { width, height, pixels: vec![BACKGROUND; width * height] };
        // The canvas takes every pixel, and leaves out those that are not on it: drawing cannot fail.
        let Ok(()) = canvas.card(state);
        canvas
    }

    /// The colour at a point; the background's outside the card.
    pub(super) fn pixel(&self, x: u16, y: u16) -> Pixel {
        self.pixels.get(usize::from(y) * self.width + usize::from(x)).copied().unwrap_or(BACKGROUND)
    }

    fn card(&mut self, state: &PanelState) -> Result<(), Infallible> {
        let size = self.size();
        let outline = PrimitiveStyleBuilder::new().fill_color(CARD).stroke_color(LINE).stroke_width(1).build();
        RoundedRectangle::new(Rectangle::new(Point::zero(), size), CornerRadii::new(Size::new_equal(14)))
            .into_styled(outline)
            .draw(self)?;

        self.logo(Point::new(MARGIN, 34))?;
        self.text("Soundpost", Point::new(MARGIN + 56, 30), &PROFONT_24_POINT, BRIGHT)?;
        self.text("The sound of this remote desktop", Point::new(MARGIN + 57, 62), &PROFONT_12_POINT, DIM)?;
        self.rule(100)?;

        let unset = |text: &str| if text.is_empty() { String::from("-") } else { text.to_owned() };
        for (row, (label, value)) in
            [("Session", unset(&state.session)), ("User", unset(&state.user)), ("Format", unset(&state.format))]
                .iter()
                .enumerate()
        {
            let y = 120 + 34 * i32::try_from(row).unwrap_or(0);
            self.text(label, Point::new(MARGIN, y + 3), &PROFONT_14_POINT, DIM)?;
            self.text(value, Point::new(VALUES, y), &PROFONT_18_POINT, BRIGHT)?;
        }

        let (words, shade) = match state.sound {
            SoundState::Connecting => ("connecting", AMBER),
            SoundState::Unavailable => ("not available", RED),
            SoundState::Silent => ("ready, silent", DIM),
            SoundState::Playing => ("playing", GREEN),
            SoundState::Stalled => ("stalled", AMBER),
        };
        self.text("Sound", Point::new(MARGIN, 225), &PROFONT_14_POINT, DIM)?;
        Circle::new(Point::new(VALUES + 1, 227), 13).into_styled(PrimitiveStyle::with_fill(shade)).draw(self)?;
        self.text(words, Point::new(VALUES + 24, 222), &PROFONT_18_POINT, BRIGHT)?;
        self.text(&state.detail, Point::new(VALUES, 250), &PROFONT_12_POINT, DIM)?;
        self.rule(284)?;
        self.meters(&state.meters)
    }

    /// A violin's sound post: between two plates.
    fn logo(&mut self, at: Point) -> Result<(), Infallible> {
        for (x, y, width, height, shade) in [(0, 0, 40, 6, ACCENT), (0, 34, 40, 6, ACCENT), (17, 6, 6, 28, BRIGHT)] {
            Rectangle::new(at + Point::new(x, y), Size::new(width, height))
                .into_styled(PrimitiveStyle::with_fill(shade))
                .draw(self)?;
        }
        Ok(())
    }

    fn rule(&mut self, y: i32) -> Result<(), Infallible> {
        let width = self.size().width.saturating_sub(2 * MARGIN.unsigned_abs());
        Rectangle::new(Point::new(MARGIN, y), Size::new(width, 1))
            .into_styled(PrimitiveStyle::with_fill(LINE))
            .draw(self)
    }

    fn text(&mut self, text: &str, at: Point, font: &MonoFont<'_>, shade: Rgb888) -> Result<(), Infallible> {
        // No longer than the card is wide: a name may be of any length.
        let advance = font.character_size.width + font.character_spacing;
        let room = self.size().width.saturating_sub(at.x.unsigned_abs() + MARGIN.unsigned_abs()) / advance.max(1);
        let room = usize::try_from(room).unwrap_or(0);
        let shown: String = if text.chars().count() > room {
            text.chars().take(room.saturating_sub(2)).chain("..".chars()).collect()
        } else {
            text.to_owned()
        };
        Text::with_baseline(&shown, at, MonoTextStyle::new(font, shade), Baseline::Top).draw(self).map(|_| ())
    }

    /// Rows of segments: the RMS level lit, the peak as one segment beyond.
    fn meters(&mut self, meters: &[Meter]) -> Result<(), Infallible> {
        /// From the top of the first row to the bottom of the last.
        const ROOM: u32 = 64;
        const TOP: i32 = 302;
        /// As many segments as there are fill the card between its margins.
        const PITCH: i32 = 12;
        const WIDTH: u32 = 10;

        let meters = meters.get(..MOST_METERS).unwrap_or(meters);
        let rows = u32::try_from(meters.len()).unwrap_or(0).max(2);
        let (pitch, height) = (ROOM / rows, (ROOM / rows).saturating_sub(6).clamp(4, 20));
        for (row, meter) in (0_i32..).zip(meters) {
            let y = TOP + row.saturating_mul(i32::try_from(pitch).unwrap_or(0));
            for segment in 0..SEGMENTS {
                let lit = segment < meter.rms || meter.peak.checked_sub(1) == Some(segment);
                let shade = match segment {
                    _ if !lit => UNLIT,
                    // -6 dB and above, -15 dB and above.
                    43.. => RED,
                    36.. => AMBER,
                    _ => GREEN,
                };
                let x = MARGIN + i32::from(segment) * PITCH;
                Rectangle::new(Point::new(x, y), Size::new(WIDTH, height))
                    .into_styled(PrimitiveStyle::with_fill(shade))
                    .draw(self)?;
            }
        }
        if !meters.is_empty() {
            for (label, segment) in [("-60 dB", 0), ("-45", 12), ("-30", 24), ("-15", 36), ("0", 47)] {
                self.text(label, Point::new(MARGIN + segment * PITCH, 374), &PROFONT_12_POINT, DIM)?;
            }
        }
        Ok(())
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(u32::try_from(self.width).unwrap_or(0), u32::try_from(self.height).unwrap_or(0))
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = DrawnPixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for DrawnPixel(at, shade) in pixels {
            let (Ok(x), Ok(y)) = (usize::try_from(at.x), usize::try_from(at.y)) else { continue };
            if x < self.width
                && let Some(pixel) = self.pixels.get_mut(y * self.width + x)
            {
                *pixel = Pixel { red: shade.r(), green: shade.g(), blue: shade.b() };
            }
        }
        Ok(())
    }
}
