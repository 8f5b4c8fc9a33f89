//! A client: who it is, and the one command that it asks for.

use super::access::{self, Known};
use super::command::Asked;
use super::{Shared, session};
use russh::keys::{Algorithm, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, Pty};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(super) struct Connection {
    shared: Arc<Shared>,
    known_as: Option<Known>,
    /// Nobody knows who it is: the database does not answer. All that it gets is to be told so.
    away: Option<String>,
    known: Arc<AtomicBool>,
    /// The channel, until a command is asked for on it.
    channel: Option<Channel<Msg>>,
    opened: bool,
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let known = Arc::new(AtomicBool::new(false));
        Self { shared, known_as: None, away: None, known, channel: None, opened: false }
    }

    /// Whether the client has said who it is.
    pub(super) fn known(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.known)
    }

    /// Whether the client is let in with this key.
    async fn enters(&mut self, key: &PublicKey, algorithm: &Algorithm) -> Auth {
        // RSA with SHA-1.
        if matches!(algorithm, Algorithm::Rsa { hash: None }) {
            return Auth::reject();
        }
        let found = access::known(&self.shared.store, key).await;
        self.away = found.as_ref().err().filter(|error| error.passes()).map(ToString::to_string);
        self.known_as = found.ok().flatten();
        if self.known_as.is_some() || self.away.is_some() { Auth::Accept } else { Auth::reject() }
    }
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        let enters = self.enters(offer.public_key, offer.algorithm).await;
        // What is offered is not proven yet.
        self.known_as = None;
        Ok(enters)
    }

    async fn auth_publickey(&mut self, _user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let enters = self.enters(key.public_key, key.algorithm).await;
        self.known.store(self.known_as.is_some(), Ordering::Relaxed);
        Ok(enters)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        // One for each connection; without an answer it is refused.
        if !std::mem::replace(&mut self.opened, true) {
            reply.accept().await;
            self.channel = Some(channel);
        }
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let channel = self.channel.take_if(|channel| channel.id() == id);
        let channel = match (channel, self.known_as.clone()) {
            (Some(channel), Some(known)) => (channel, known),
            (Some(channel), None) => {
                let Some(why) = self.away.take() else { return session.channel_failure(id) };
                session.channel_success(id)?;
                self.shared.lock().spawn(session::away(channel, why));
                return Ok(());
            }
            _ => return session.channel_failure(id),
        };
        let (channel, known) = channel;
        session.channel_success(id)?;
        let (shared, asked) = (Arc::clone(&self.shared), Asked::parse(data));
        let mut work = self.shared.lock();
        while work.try_join_next().is_some() {}
        work.spawn(session::serve(shared, channel, known, asked));
        Ok(())
    }

    /// Nobody's terminal is needed; ssh goes on without one when it is told so.
    async fn pty_request(
        &mut self,
        id: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(id)
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(id)
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        let Some(channel) = self.channel.take_if(|channel| channel.id() == id) else {
            return session.channel_failure(id);
        };
        session.channel_success(id)?;
        let mut work = self.shared.lock();
        work.spawn(session::greet(channel));
        Ok(())
    }
}
