//! Tiles of pixels as fast-path bitmap updates (MS-RDPBCGR 2.2.9.1.2.1.2).

use std::collections::VecDeque;

use ironrdp_core::{Encode as _, EncodeResult, WriteCursor, encode_vec, other_err};
use ironrdp_graphics::rdp6::BitmapStreamEncoder;
use ironrdp_pdu::bitmap::{BitmapData, BitmapUpdateData, CompressedDataHeader, Compression};
use ironrdp_pdu::fast_path::{EncryptionFlags, FastPathHeader, FastPathUpdatePdu, Fragmentation, UpdateCode};
use ironrdp_pdu::geometry::InclusiveRectangle;

use super::draw::Pixel;
use crate::rdp::login::{Depth, Desktop};

/// The longest side of a tile: what every client takes in one bitmap.
pub(super) const TILE: u16 = 64;

/// An update is closed once it is longer than this.
const FULL: usize = 6 * 1024;

/// A rectangle of at most [`TILE`] by [`TILE`] pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) x: u16,
    pub(super) y: u16,
    pub(super) width: u16,
    pub(super) height: u16,
}

impl Tile {
    pub(super) fn lies_within(&self, (x, y): (u16, u16), (width, height): (u16, u16)) -> bool {
        self.x >= x && self.y >= y && self.x + self.width <= x + width && self.y + self.height <= y + height
    }
}

/// Takes tiles from the front of `tiles` until an update is full. `pixel` is asked within the tiles' own coordinates,
/// which lie at `origin` on the desktop.
pub(super) fn encode(
    desktop: Desktop,
    origin: (u16, u16),
    tiles: &mut VecDeque<Tile>,
    pixel: impl Fn(u16, u16) -> Pixel,
) -> EncodeResult<Vec<u8>> {
    let mut bitmaps: Vec<(Tile, u16, Vec<u8>)> = Vec::new();
    let mut length = 0;
    while length < FULL
        && let Some(tile) = tiles.pop_front()
    {
        // A bitmap's width has to be a multiple of four; what lies beyond the rectangle is not drawn.
        let padded = tile.width.next_multiple_of(4);
        // Bottom row first (MS-RDPBCGR 2.2.9.1.1.3.1.2.2).
        let pixels: Vec<Pixel> = (0..tile.height)
            .rev()
            .flat_map(|y| (0..padded).map(move |x| (x.min(tile.width - 1), y)))
            .map(|(x, y)| pixel(tile.x + x, tile.y + y))
            .collect();
        let data = match desktop.depth {
            Depth::Bits32 => planes(&pixels, padded, tile.height)?,
            Depth::Bits24 => runs(&pixels, |Pixel { red, green, blue }| [blue, green, red]),
            Depth::Bits16 => runs(&pixels, |pixel| packed(pixel, 2).to_le_bytes()),
            Depth::Bits15 => runs(&pixels, |pixel| packed(pixel, 3).to_le_bytes()),
        };
        length += data.len();
        bitmaps.push((tile, padded, data));
    }
    let (bits_per_pixel, bytes_per_pixel) = match desktop.depth {
        Depth::Bits15 => (15, 2),
        Depth::Bits16 => (16, 2),
        Depth::Bits24 => (24, 3),
        Depth::Bits32 => (32, 4),
    };
    let rectangles = bitmaps.iter().map(|(tile, padded, data)| {
        let (left, top) = (origin.0 + tile.x, origin.1 + tile.y);
        Ok(BitmapData {
            rectangle: InclusiveRectangle {
                left,
                top,
                right: left + (tile.width - 1),
                bottom: top + (tile.height - 1),
            },
            width: *padded,
            height: tile.height,
            bits_per_pixel,
            compression_flags: Compression::BITMAP_COMPRESSION,
            compressed_data_header: Some(CompressedDataHeader {
                main_body_size: u16::try_from(data.len()).map_err(|_| other_err!("bitmap", "longer than 64 KiB"))?,
                scan_width: *padded,
                uncompressed_size: padded * tile.height * bytes_per_pixel,
            }),
            bitmap_data: data,
        })
    });
    fast_path(&BitmapUpdateData { rectangles: rectangles.collect::<EncodeResult<_>>()? })
}

fn fast_path(update: &BitmapUpdateData<'_>) -> EncodeResult<Vec<u8>> {
    let data = encode_vec(update)?;
    let update = FastPathUpdatePdu {
        fragmentation: Fragmentation::Single,
        update_code: UpdateCode::Bitmap,
        compression_flags: None,
        compression_type: None,
        data: &data,
    };
    let header = FastPathHeader::new(EncryptionFlags::empty(), update.size());
    let mut bytes = vec![0; header.size() + update.size()];
    let mut cursor = WriteCursor::new(&mut bytes);
    header.encode(&mut cursor)?;
    update.encode(&mut cursor)?;
    Ok(bytes)
}

/// RDP 6.0 planar compression (MS-RDPEGDI 3.1.9), for 32 bits per pixel.
fn planes(pixels: &[Pixel], width: u16, height: u16) -> EncodeResult<Vec<u8>> {
    let mut encoder = BitmapStreamEncoder::new(width.into(), height.into());
    // Run lengths can make a plane no more than twice as long as it is.
    let mut data = vec![0; 64 + pixels.len() * 6];
    let plane = |of: fn(&Pixel) -> u8| pixels.iter().map(of);
    let length = encoder
        .encode_channels_stream((plane(|p| p.red), plane(|p| p.green), plane(|p| p.blue)), &mut data, true)
        .map_err(|error| other_err!("planar bitmap", source: error))?;
    data.truncate(length);
    Ok(data)
}

/// Interleaved run-length compression (MS-RDPBCGR 2.2.9.1.1.3.1.2.4), for up to 24 bits per pixel. Of its orders only
/// the two that depend on nothing before them: runs of one colour, and pixels as they are.
fn runs<const N: usize>(pixels: &[Pixel], bytes: impl Fn(Pixel) -> [u8; N]) -> Vec<u8> {
    /// MEGA_MEGA_COLOR_RUN: a length, and the colour.
    const COLOR_RUN: u8 = 0xF3;
    /// MEGA_MEGA_COLOR_IMAGE: a length, and as many pixels.
    const COLOR_IMAGE: u8 = 0xF4;
    /// A run that is shorter costs more than its pixels.
    const WORTH_IT: usize = 4;

    fn order(data: &mut Vec<u8>, code: u8, length: usize) {
        data.push(code);
        // A tile has 4096 pixels.
        data.extend(u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
    }
    fn image<const N: usize>(data: &mut Vec<u8>, pixels: &mut Vec<[u8; N]>) {
        if !pixels.is_empty() {
            order(data, COLOR_IMAGE, pixels.len());
            data.extend(pixels.drain(..).flatten());
        }
    }

    let mut data = Vec::new();
    let mut single = Vec::new();
    for run in pixels.chunk_by(|a, b| a == b) {
        let Some(colour) = run.first().map(|pixel| bytes(*pixel)) else { continue };
        if run.len() < WORTH_IT {
            single.extend(run.iter().map(|_| colour));
        } else {
            image(&mut data, &mut single);
            order(&mut data, COLOR_RUN, run.len());
            data.extend(colour);
        }
    }
    image(&mut data, &mut single);
    data
}

/// 5 bits of red and blue, and 8 - `green_lost` bits of green.
fn packed(Pixel { red, green, blue }: Pixel, green_lost: u32) -> u16 {
    let green_bits = 8 - green_lost;
    (u16::from(red >> 3) << (5 + green_bits)) | (u16::from(green >> green_lost) << 5) | u16::from(blue >> 3)
}

#[cfg(test)]
mod tests {
    use ironrdp_graphics::rle;

    use super::*;

    fn noise(index: u32) -> Pixel {
        let value = (index / 5).wrapping_mul(2_654_435_761).to_le_bytes();
        Pixel { red: value[1], green: value[2], blue: value[3] }
    }

    #[test]
    fn runs_decode_to_what_went_in() {
        let pixels: Vec<_> =
            (0..64 * 32).map(|index| if index % 700 < 300 { noise(index) } else { noise(7) }).collect();
        let data = runs(&pixels, |pixel| packed(pixel, 2).to_le_bytes());
        let mut decoded = Vec::new();
        rle::decompress_16_bpp(&data, &mut decoded, 64_usize, 32_usize).unwrap();
        let expected: Vec<u8> = pixels.iter().flat_map(|pixel| packed(*pixel, 2).to_le_bytes()).collect();
        assert_eq!(decoded, expected);
        assert!(data.len() < expected.len());
    }

    #[test]
    fn colours_are_packed_as_the_depth_wants_it() {
        let pixel = Pixel { red: 0xFF, green: 0x84, blue: 0x08 };
        assert_eq!(packed(pixel, 2), 0xFC21);
        assert_eq!(packed(pixel, 3), 0x7E01);
    }
}
