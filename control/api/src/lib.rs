//! The platform's HTTP API, version 1: what goes over the wire, and as a trait (feature `server`) what a server answers.
//! `specs/platform.md` §7.
//!
//! These types belong to the wire alone. They change by rules: a field may be added to an answer, a field that may be left
//! out to a question; everything else is a version of its own.

mod problem;
#[cfg(feature = "server")]
mod tagged;
mod types;
#[cfg(feature = "server")]
mod v1;

pub use problem::{ErrorCode, Problem};
#[cfg(feature = "server")]
pub use tagged::Tagged;
pub use types::account::{Account, Me, Membership, Role, SshKey, SshKeyAdd, Token, TokenCreate, TokenMade};
pub use types::app::{App, AppConfig, AppCreate, AppDestroy, AppRename, AppSelect, AppState};
pub use types::audit::{AuditLine, OrganisationSelect};
pub use types::console::{ConsoleFrom, ConsoleLine, ConsoleQuery};
pub use types::device::{Device, DeviceAnswer, DeviceAsk, DeviceBegin, DeviceBegun, DeviceSelect, GitServer};
pub use types::event::{Event, EventStreamQuery};
pub use types::job::{Failure, Job, JobCreate, JobKind, JobPhase, JobSelect, LogQuery};
pub use types::local::Local;
pub use types::member::{
    Invitation, InvitationAccept, InvitationCreate, InvitationMade, InvitationSelect, Member, MemberChange,
    MemberSelect,
};
pub use types::page::{Page, PageQuery};
pub use types::passkey::{
    PasskeyAsk, PasskeyMade, PasskeyProof, Registration, RegistrationAsk, RegistrationBegin,
};
pub use types::release::{Release, ReleaseSelect};
pub use types::select::{Idempotency, KeySelect, TokenSelect};
pub use types::session::{Session, SessionCookie, SessionOwn, SessionSelect};
pub use types::status::{Health, Ready};
#[cfg(feature = "server")]
pub use v1::{V1, api_description, openapi};
