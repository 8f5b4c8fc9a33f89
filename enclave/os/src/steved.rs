//! STEVE in front of the app: a process of its own, and what it has of this one.
//!
//! ```text
//! vsock 49500 ──forwarder──▶ 127.0.0.1:8080, listener ──┐ inherited
//!                 PID 1: epochs ◀──words on a socket──▶ steved ──▶ the app's port
//! ```
//! Keys of sessions are in that process alone, and it has no security module: it asks here for documents, and gets
//! those about epochs, and about sessions where the boot plan has version 2, and no others.

mod epochs;
mod inside;
mod words;

use crate::control::Control;
use crate::manifest::Manifest;
use crate::{end, serve};
use caution_abi::e2e::E2e;
use caution_abi::ports::STEVED;
use caution_enclave_sys::children::ChildId;
use caution_enclave_sys::nsm::Nsm;
use caution_enclave_sys::{clock, entropy, helper};
use caution_steved::Identity;
use epochs::Epochs;
pub(crate) use inside::main;
use std::ffi::CStr;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;
use words::{Answer, Question, Setup};

/// What this program is called when it is that process.
pub(crate) const NAME: &CStr = c"steved";

/// Why it does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StevedError {
    /// Somebody else listens.
    #[error("TCP port {STEVED} of 127.0.0.1 could not be listened on")]
    Listen(#[source] io::Error),
    /// There is no process, or no way to talk to it.
    #[error("its process could not be started")]
    Start(#[source] io::Error),
    /// It says why.
    #[error("it gave up: {0}")]
    Failed(String),
    /// It ended without a word.
    #[error("its process ended before it was ready")]
    Ended,
    /// It takes too long.
    #[error("it was not ready after {} s", READY.as_secs())]
    Late,
}

/// Starts it, and waits until it has evidence for its first keys.
pub(crate) fn start(
    e2e: &E2e,
    nsm: Arc<dyn Nsm>,
    manifest: Option<&Manifest>,
    control: &Arc<Control>,
) -> Result<ChildId, StevedError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, STEVED)).map_err(StevedError::Listen)?;
    let (ours, theirs) = UnixStream::pair().map_err(StevedError::Start)?;
    let mut instance = [0; 16];
    entropy::fill(&mut instance).map_err(StevedError::Start)?;
    let child = helper::start(NAME, &[theirs.as_fd(), listener.as_fd()]).map_err(StevedError::Start)?;
    drop((theirs, listener));
    Setup { instance, e2e: e2e.clone() }.send(&ours).map_err(StevedError::Start)?;
    let identity = Identity {
        instance,
        manifest_hash: manifest.map_or([0; 32], |manifest| *manifest.digest().as_bytes()),
        plaintext_fallback: e2e.plaintext_fallback,
    };
    let (sender, ready) = channel();
    let (mut epochs, control) = (Epochs::new(nsm, identity, e2e.steve_v2), Arc::clone(control));
    serve::spawn("epochs", move || match answer_all(&ours, &mut epochs, &sender) {
        // Before the first document the boot waits, and hears of it.
        Some(reason) if sender.send(Err(StevedError::Failed(reason.clone()))).is_err() => {
            end(&control, &format!("End-to-end encryption ended: {reason}."));
        }
        // A process that ended is its parent's to tell of.
        _ => {}
    })
    .map_err(StevedError::Start)?;
    match ready.recv_timeout(READY) {
        Ok(ready) => ready.map(|()| child),
        Err(RecvTimeoutError::Disconnected) => Err(StevedError::Ended),
        Err(RecvTimeoutError::Timeout) => Err(StevedError::Late),
    }
}

/// Answers until the process ends, or says why it will.
fn answer_all(
    stream: &UnixStream,
    epochs: &mut Epochs,
    ready: &Sender<Result<(), StevedError>>,
) -> Option<String> {
    loop {
        match Question::receive(stream).ok()? {
            Question::Attest { epoch, nonce } => {
                let answer = match epochs.attest(&epoch, nonce.as_ref(), clock::now_ms()) {
                    Ok(attested) => Answer::Attested(attested),
                    Err(e) => {
                        let reason = crate::chain(&e).join(": ");
                        if nonce.is_none() {
                            crate::say(&format!("There is no document about STEVE's keys: {reason}."));
                        }
                        Answer::Refused(reason)
                    }
                };
                let attested = matches!(answer, Answer::Attested(_));
                answer.send(stream).ok()?;
                if attested {
                    // Only the first one is waited for.
                    let _ = ready.send(Ok(()));
                }
            }
            Question::Session { claims, nonce } => {
                let answer = match epochs.attest_session(&claims, &nonce) {
                    Ok(document) => Answer::Session(document),
                    Err(e) => Answer::Refused(crate::chain(&e).join(": ")),
                };
                answer.send(stream).ok()?;
            }
            Question::Failed(reason) => return Some(reason),
        }
    }
}

/// How long until the first document: keys are made in milliseconds, on slow machines within a second.
const READY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use caution_enclave_sys::nsm::NsmError;
    use caution_steved::Epoch;

    struct Broken;

    impl Nsm for Broken {
        fn exchange(&self, _request: &[u8]) -> Result<Vec<u8>, NsmError> {
            Err(NsmError::Unexpected)
        }
    }

    #[test]
    fn what_goes_wrong_is_told_and_an_end_without_a_word_is_somebody_elses_to_tell() {
        let identity = Identity { instance: [0; 16], manifest_hash: [0; 32], plaintext_fallback: false };
        let mut epochs = Epochs::new(Arc::new(Broken), identity, false);
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (sender, ready) = channel();
        let epoch = Epoch { key_configs_hash: [0; 32], not_before_ms: 0, not_after_ms: u64::MAX };
        Question::Attest { epoch, nonce: None }.send(&theirs).unwrap();
        Question::Failed("no evidence".into()).send(&theirs).unwrap();
        let reason = answer_all(&ours, &mut epochs, &sender);
        assert_eq!(reason.as_deref(), Some("no evidence"));
        let refused = Answer::receive(&theirs).unwrap();
        assert!(
            matches!(&refused, Answer::Refused(why) if why.contains("answered something else")),
            "{refused:?}"
        );
        assert!(ready.try_recv().is_err(), "nothing is ready");
        drop(theirs);
        assert_eq!(answer_all(&ours, &mut epochs, &sender), None);
    }
}
