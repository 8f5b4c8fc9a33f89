//! Ids: UUIDs of version 7, in lower case, each of its own noun.

use super::StoreError;
use crate::clock;
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A new one.
            pub fn new() -> Result<Self, StoreError> {
                clock::new_id().map(Self).map_err(StoreError::Random)
            }

            /// As it is on the wire.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        /// Its one form: 36 characters, lower case.
        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let id = Uuid::try_parse(text).map_err(|_| NotAnId)?;
                (id.as_hyphenated().to_string() == text).then_some(Self(id)).ok_or(NotAnId)
            }
        }
    )*};
}

ids! {
    /// Of an account.
    AccountId,
    /// Of an organisation.
    OrganisationId,
    /// Of an app.
    AppId,
    /// Of a release.
    ReleaseId,
    /// Of a job.
    JobId,
    /// Of an event.
    EventId,
    /// Of a token.
    TokenId,
    /// Of a session of a browser.
    SessionId,
    /// Of an invitation.
    InvitationId,
    /// Of a line of the audit log.
    AuditId,
}

/// A text that is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not an id: 36 characters of 0-9, a-f and `-`")]
pub struct NotAnId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_form_and_ids_sort_by_age() {
        let id = AppId::new().unwrap();
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in [
            id.to_string().to_uppercase(),
            format!("{{{id}}}"),
            id.uuid().as_simple().to_string(),
            format!("{id}\n"),
            format!("../{id}"),
            String::new(),
        ] {
            assert_eq!(wrong.parse::<AppId>(), Err(NotAnId), "{wrong:?}");
        }
        assert_eq!(id.uuid().get_version_num(), 7);
    }
}
