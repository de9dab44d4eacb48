//! What server and client tell each other they can do (MS-RDPBCGR 2.2.7).

use ironrdp_acceptor::DesktopSize;
use ironrdp_pdu::rdp::capability_sets::{
    Bitmap, BitmapDrawingFlags, CapabilitySet, General, GeneralExtraFlags, Input, InputFlags, MajorPlatformType,
    MinorPlatformType, Order, OrderFlags, OrderSupportExFlags, PROTOCOL_VER, Pointer, VirtualChannel,
    VirtualChannelFlags,
};

/// The desktop of a client that asks for one smaller than RDP knows (200 pixels, MS-RDPBCGR 2.2.1.3.2).
pub(super) const FALLBACK_DESKTOP: DesktopSize = DesktopSize { width: 640, height: 480 };
/// The largest desktop that is given.
pub(super) const LARGEST_DESKTOP: DesktopSize = DesktopSize { width: 7680, height: 4320 };

/// What this server can do: show bitmaps, and carry channels. No drawing orders, no bulk compression.
pub(super) fn server() -> Vec<CapabilitySet> {
    vec![
        CapabilitySet::General(General {
            major_platform_type: MajorPlatformType::UNSPECIFIED,
            minor_platform_type: MinorPlatformType::UNSPECIFIED,
            protocol_version: PROTOCOL_VER,
            extra_flags: GeneralExtraFlags::FASTPATH_OUTPUT_SUPPORTED | GeneralExtraFlags::LONG_CREDENTIALS_SUPPORTED,
            refresh_rect_support: true,
            suppress_output_support: true,
        }),
        CapabilitySet::Bitmap(Bitmap {
            pref_bits_per_pix: 32,
            desktop_width: FALLBACK_DESKTOP.width,
            desktop_height: FALLBACK_DESKTOP.height,
            desktop_resize_flag: true,
            drawing_flags: BitmapDrawingFlags::ALLOW_SKIP_ALPHA,
        }),
        CapabilitySet::Order(Order::new(
            OrderFlags::NEGOTIATE_ORDER_SUPPORT | OrderFlags::ZERO_BOUNDS_DELTAS_SUPPORT,
            OrderSupportExFlags::empty(),
            0,
            0,
        )),
        CapabilitySet::Pointer(Pointer { color_pointer_cache_size: 25, pointer_cache_size: 25 }),
        CapabilitySet::Input(Input {
            input_flags: InputFlags::SCANCODES
                | InputFlags::MOUSEX
                | InputFlags::FASTPATH_INPUT
                | InputFlags::FASTPATH_INPUT_2
                | InputFlags::UNICODE,
            keyboard_layout: 0,
            keyboard_type: None,
            keyboard_subtype: 0,
            keyboard_function_key: 0,
            keyboard_ime_filename: String::new(),
        }),
        CapabilitySet::VirtualChannel(VirtualChannel { flags: VirtualChannelFlags::NO_COMPRESSION, chunk_size: None }),
    ]
}

/// The picture that a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Desktop {
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(crate) depth: Depth,
}

/// Bits per pixel of a client's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// 5 bits of red, green and blue each.
    Bits15,
    /// 5, 6, 5.
    Bits16,
    /// 8 each.
    Bits24,
    /// 8 each, in planes.
    Bits32,
}

impl Desktop {
    /// The desktop of a client that confirmed these capabilities: the size that it copied from the server's own set
    /// (MS-RDPBCGR 2.2.7.1.2) and the depth that it settled on.
    pub(super) fn resolve(client: &[CapabilitySet]) -> Option<Self> {
        let fast_path = client.iter().any(|set| {
            matches!(set, CapabilitySet::General(general)
                if general.extra_flags.contains(GeneralExtraFlags::FASTPATH_OUTPUT_SUPPORTED))
        });
        client.iter().find_map(|set| match set {
            CapabilitySet::Bitmap(bitmap) if fast_path => Some(Self {
                width: bitmap.desktop_width.min(LARGEST_DESKTOP.width),
                height: bitmap.desktop_height.min(LARGEST_DESKTOP.height),
                depth: match bitmap.pref_bits_per_pix {
                    15 => Depth::Bits15,
                    16 => Depth::Bits16,
                    24 => Depth::Bits24,
                    32 => Depth::Bits32,
                    // 8 bits and less need a palette; no client of this century asks for it.
                    _ => return None,
                },
            }),
            _ => None,
        })
    }
}
