//! The RDP server: sockets, TLS, logins, the client's desktop, and the transport of its sound.
//!
//! What travels on the audio channel is made elsewhere (`soundpost-rdp`, `soundpost-link`) and meets this module at
//! [`SessionApp`]. Start one with [`Listener::bind`] and [`Server::start`].
//!
//! ```text
//!  Listener ─ accept ─► log_in (X.224, TLS, CredSSP or password, MCS, capabilities)
//!                          │  Admission: how many may wait here    Throttle: how fast passwords may be tried
//!                          ▼
//!                       Session ◄──► Mux (static and dynamic channels) ◄──► SessionApp (audio)
//!                          ▲
//!                       PanelView (the desktop), when there is nothing else to send
//! ```

mod accounts;
mod admission;
mod app;
mod certificate;
mod listener;
mod login;
mod panel;
mod session;
mod throttle;

pub use self::accounts::{Account, AccountError, Accounts, Login, Password};
pub use self::admission::AdmissionConfig;
pub use self::app::{Peer, SessionApp, SessionRefused, Sessions};
pub use self::certificate::{CertificateError, ServerCertificate};
pub use self::listener::{BindError, Listener, Server, ServerConfig};
pub use self::login::Security;
pub use self::panel::{Meter, PanelState, SoundState};
pub use self::throttle::ThrottleConfig;
