//! Sessions: made when needed, renewed before their end, never used past it.

use crate::clock::Clock;
use crate::error::{Error, RequestError};
use crate::evidence::{Attested, Question};
use crate::policy::{Policy, Subject, Trust};
use crate::transport::{Ask, Transport};
use bytes::Bytes;
use caution_attest::Roots;
use caution_steve::{
    ClientHandshake, ClientRandom, ClientSession, Limits, MAX_BUNDLE, MAX_HANDSHAKE, Opener, Sealer,
    SessionId, Suite, context_hash,
};
use http::Method;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

/// What every session of a client is made by.
pub(crate) struct Rules {
    pub policy: Policy,
    pub roots: Roots,
    pub suite: Suite,
    pub app_context: Vec<u8>,
    pub allow_plaintext_fallback: bool,
    pub fresh_evidence: bool,
}

/// The sessions of one client, one at a time.
pub(crate) struct Sessions {
    pub transport: Transport,
    pub rules: Rules,
    pub clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Current>,
    /// When the last handshakes were begun.
    handshakes: VecDeque<Duration>,
}

struct Current {
    session: ClientSession,
    established: Arc<Established>,
    born: Duration,
    used: Duration,
    /// From which age on another one is made.
    renew_at: Duration,
}

/// What was verified when a session was made.
#[derive(Debug)]
pub(crate) struct Established {
    pub authority: String,
    pub attested: Attested,
    pub trust: Trust,
    pub suite: Suite,
    pub session: SessionId,
    pub transcript_hash: [u8; 32],
}

/// An exchange that nothing was sent of.
pub(crate) struct Exchange {
    pub header: Vec<u8>,
    pub sealer: Sealer,
    pub opener: Opener,
    pub established: Arc<Established>,
}

impl Sessions {
    pub(crate) fn new(transport: Transport, rules: Rules, clock: Arc<dyn Clock>) -> Self {
        Self { transport, rules, clock, state: Mutex::default() }
    }

    /// Begins an exchange, in a session that is made or renewed where it must be.
    pub(crate) async fn begin(&self) -> Result<Exchange, Error> {
        let mut state = self.state.lock().await;
        let now = self.clock.elapsed();
        state.current.take_if(|current| current.is_over(now));
        match &state.current {
            None => state.current = Some(self.make(&mut state.handshakes).await?),
            // The session goes on to its end where no other can be made.
            Some(current) if current.is_due(now) => {
                if let Ok(next) = self.make(&mut state.handshakes).await {
                    state.current = Some(next);
                }
            }
            Some(_) => {}
        }
        let current = state.current.as_mut().expect("it was there, or made above");
        current.used = self.clock.elapsed();
        let exchange = current.session.exchange();
        let (header, sealer, opener) = exchange.ok_or(Error::Request(RequestError::Exhausted))?;
        Ok(Exchange { header, sealer, opener, established: Arc::clone(&current.established) })
    }

    /// What the session that is used now was made of.
    pub(crate) async fn established(&self) -> Result<Arc<Established>, Error> {
        // An exchange that is not sent costs a number.
        self.begin().await.map(|exchange| exchange.established)
    }

    /// The next exchange needs another session: this one seems to be gone.
    pub(crate) async fn forget(&self, session: SessionId) {
        let mut state = self.state.lock().await;
        state.current.take_if(|current| current.established.session == session);
    }

    async fn make(&self, handshakes: &mut VecDeque<Duration>) -> Result<Current, Error> {
        let now = self.clock.elapsed();
        handshakes.retain(|then| now.saturating_sub(*then) < MINUTE);
        if handshakes.len() >= HANDSHAKES_A_MINUTE {
            return Err(Error::TooManyHandshakes { authority: self.authority(), limit: HANDSHAKES_A_MINUTE });
        }
        let attested = self.attested().await?;
        // An enclave that starts again is asked for evidence until it has some, which costs nobody a handshake.
        let begun = self.clock.elapsed();
        handshakes.push_back(begun);
        let session = self.shake_hands(&attested).await?;
        let trust = self.decide(&attested)?;
        let lifetime = Duration::from_secs(session.session().lifetime_s().into());
        let established = Established {
            authority: self.authority(),
            attested,
            trust,
            suite: session.session().suite(),
            session: session.session().id(),
            transcript_hash: session.session().transcript_hash(),
        };
        // Clients that began together do not all come back together.
        let [jitter] = random::<1>().map_err(Error::Random)?;
        let renew_at = lifetime * (RENEW_FROM + u32::from(jitter) % RENEW_SPREAD) / 100;
        Ok(Current { session, established: Arc::new(established), born: begun, used: begun, renew_at })
    }

    async fn attested(&self) -> Result<Attested, Error> {
        let nonce = self.rules.fresh_evidence.then(random::<32>).transpose().map_err(Error::Random)?;
        let ask = Ask {
            method: if nonce.is_some() { Method::POST } else { Method::GET },
            path: "/.well-known/steve/evidence",
            content_type: nonce.map(|_| "application/octet-stream"),
            body: Ask::whole(nonce.map_or_else(Vec::new, |nonce| nonce.to_vec())),
            expects: "application/cbor",
            limit: MAX_BUNDLE,
        };
        let bundle = self.fetch(ask).await?;
        let rules = &self.rules;
        let question = Question {
            roots: &rules.roots,
            policy: &rules.policy,
            suite: rules.suite,
            allow_plaintext_fallback: rules.allow_plaintext_fallback,
            now: self.clock.now(),
            nonce: nonce.as_ref(),
        };
        question
            .ask(&bundle)
            .map_err(|cause| Error::Evidence { authority: self.authority(), cause: Box::new(cause) })
    }

    async fn shake_hands(&self, attested: &Attested) -> Result<ClientSession, Error> {
        let refused = |cause| Error::Handshake { authority: self.authority(), cause };
        let context = context_hash(&self.authority(), &self.rules.app_context);
        let random = ClientRandom {
            encapsulate: Zeroizing::new(random().map_err(Error::Random)?),
            ephemeral: Zeroizing::new(random().map_err(Error::Random)?),
            hello: random().map_err(Error::Random)?,
        };
        let max_chunk = Limits::DEFAULT.max_chunk;
        let (handshake, hello) =
            ClientHandshake::start(&attested.key, &context, max_chunk, &random).map_err(refused)?;
        let answer = self
            .fetch(Ask {
                method: Method::POST,
                path: "/.well-known/steve/session",
                content_type: Some("application/steve-hello"),
                body: Ask::whole(hello),
                expects: "application/steve-hello",
                limit: MAX_HANDSHAKE,
            })
            .await?;
        handshake.finish(&answer).map_err(refused)
    }

    /// The last step before anything is sent, so that what must be remembered is.
    fn decide(&self, attested: &Attested) -> Result<Trust, Error> {
        let authority = self.authority();
        let rules = &self.rules;
        let who = Subject { authority: &authority, app_context: &rules.app_context, suite: rules.suite };
        let decided = rules.policy.decide(attested, &who, self.clock.now());
        decided.map_err(|cause| Error::Untrusted { authority, cause: Box::new(cause) })
    }

    async fn fetch(&self, ask: Ask) -> Result<Bytes, Error> {
        let answer = self.transport.fetch(ask).await;
        answer.map_err(|cause| Error::Unreachable { authority: self.authority(), cause })
    }

    fn authority(&self) -> String {
        self.transport.address().authority.clone()
    }
}

impl Current {
    fn is_over(&self, now: Duration) -> bool {
        let lifetime = Duration::from_secs(self.session.session().lifetime_s().into());
        now.saturating_sub(self.born) >= lifetime || now.saturating_sub(self.used) >= IDLE
    }

    fn is_due(&self, now: Duration) -> bool {
        now.saturating_sub(self.born) >= self.renew_at
    }
}

fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map(|()| bytes)
}

/// The most handshakes within a minute. Honest servers need one in twenty.
const HANDSHAKES_A_MINUTE: usize = 3;
const MINUTE: Duration = Duration::from_mins(1);
/// After so long without an exchange a session is not used again; servers end them after 600 s.
const IDLE: Duration = Duration::from_secs(570);
/// A session is renewed at 80 to 89 hundredths of its life.
const RENEW_FROM: u32 = 80;
const RENEW_SPREAD: u32 = 10;
