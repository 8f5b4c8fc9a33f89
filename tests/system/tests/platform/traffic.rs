//! Clients that go on asking while an app is replaced, and count.

use crate::place::Place;
use caution_system_tests::command::finish;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

/// Clients at work, each on connections of its own.
pub(crate) struct Traffic {
    threads: Vec<JoinHandle<()>>,
    enough: Arc<AtomicBool>,
    /// So many were answered, or what failed.
    heard: Receiver<Result<usize, String>>,
}

impl Traffic {
    pub(crate) fn start(place: &Place) -> Self {
        let (tell, heard) = channel();
        let enough = Arc::<AtomicBool>::default();
        // Two that keep their connections, and one that makes a new one each time.
        let more: [&[&str]; 3] = [&[], &[], &["-H", "Connection: close", "--http1.1"]];
        let threads = more.map(|more| {
            let mut curl = place.curl();
            curl.args(["-w", "%{http_code}\n"]).args(more).arg(format!("{}?[1-{BATCH}]", place.url()));
            let (tell, enough) = (tell.clone(), Arc::clone(&enough));
            std::thread::spawn(move || {
                // The first batch that fails is the last.
                while !enough.load(Ordering::Acquire) {
                    let outcome = batch(&mut curl);
                    let failed = outcome.is_err();
                    if tell.send(outcome).is_err() || failed {
                        return;
                    }
                }
            })
        });
        Self { threads: threads.into(), enough, heard }
    }

    /// Goes on until so many requests were answered in all; returns how many were, and what failed.
    pub(crate) fn stop_after(self, requests: usize) -> (usize, Vec<String>) {
        let (mut answered, mut failed) = (0, Vec::new());
        for outcome in &self.heard {
            match outcome {
                Ok(count) => answered += count,
                Err(what) => failed.push(what),
            }
            if answered >= requests || !failed.is_empty() {
                self.enough.store(true, Ordering::Release);
            }
        }
        for thread in self.threads {
            thread.join().expect("a client that does not panic");
        }
        (answered, failed)
    }
}

/// Requests of one curl, one after another.
fn batch(curl: &mut Command) -> Result<usize, String> {
    let ran = finish(&curl.output().expect("curl starts"));
    // Each answer is the greeting, and then its status.
    let answered = ran.stdout.lines().filter(|line| *line == "200").count();
    if ran.code == 0 && answered == BATCH {
        return Ok(BATCH);
    }
    let other = ran.stdout.lines().find(|line| !line.starts_with('H') && *line != "200");
    Err(format!("{answered} of {BATCH}; {other:?}; curl {}: {}", ran.code, ran.stderr))
}

const BATCH: usize = 100;
