//! Where a PostgreSQL database is. The password in it is shown to nobody: neither by `Debug` nor in an error.

use sqlx::postgres::PgConnectOptions;
use std::fmt;
use std::str::FromStr;

/// `postgres://user:password@host:port/database`.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresAddress(String);

/// A text that is no such address. It does not say the text, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not the address of a PostgreSQL database, postgres://user:password@host:port/database")]
pub struct NotAnAddress;

impl PostgresAddress {
    /// With its password: for whoever connects.
    pub(super) fn whole(&self) -> &str {
        &self.0
    }
}

impl FromStr for PostgresAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let ours = text.starts_with("postgres://") || text.starts_with("postgresql://");
        match PgConnectOptions::from_str(text) {
            Ok(_) if ours => Ok(Self(text.to_owned())),
            _ => Err(NotAnAddress),
        }
    }
}

/// Who connects to what.
impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(options) = PgConnectOptions::from_str(&self.0) else { return f.write_str("postgres://") };
        let user = options.get_username();
        match options.get_socket() {
            Some(socket) => write!(f, "postgres://{user}@[{}]", socket.display())?,
            None => write!(f, "postgres://{user}@{}:{}", options.get_host(), options.get_port())?,
        }
        write!(f, "/{}", options.get_database().unwrap_or(user))
    }
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_everything_but_its_password() {
        for (text, shown) in [
            ("postgres://u:geheim@db.example:5433/caution", "postgres://u@db.example:5433/caution"),
            ("postgresql://u@db/c?password=geheim&sslmode=require", "postgres://u@db:5432/c"),
            ("postgres:///c?host=/run/pg&user=u&password=geheim", "postgres://u@[/run/pg]/c"),
        ] {
            let address: PostgresAddress = text.parse().unwrap();
            assert_eq!((address.to_string().as_str(), format!("{address:?}").as_str()), (shown, shown));
        }
        for wrong in ["", "mysql://u:geheim@h/d", "u:geheim@h", "postgres://u:geheim@h:port/d"] {
            assert!(!wrong.parse::<PostgresAddress>().unwrap_err().to_string().contains("geheim"));
        }
    }
}
