//! The last word before branches move: who pushes may have been removed while the pack came.
//!
//! `pre-receive` asks by a line in a pipe, which it opens without waiting. The answer is a file on which this server has a lock
//! until it has answered: a server that is gone has let go of it, and a file that says nothing is no consent.

use crate::store::JobId;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::{OpenOptions, Receiver};

/// What the hook of a push asks. Its folder goes away with it.
#[derive(Debug)]
pub(super) struct Question {
    folder: PathBuf,
    asks: Receiver,
    answer: File,
}

impl Question {
    /// One that can be asked, in a folder of its own.
    pub(super) fn new(questions: &Path, push: JobId) -> io::Result<Self> {
        let folder = questions.join(push.to_string());
        fs::create_dir(&folder)?;
        let pipe = folder.join("asks");
        mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR)?;
        // Also a writer of it: a hook that has asked and closed it is no end.
        let asks = OpenOptions::new().read_write(true).open_receiver(&pipe)?;
        let answer = File::create_new(folder.join("answer"))?;
        answer.lock()?;
        Ok(Self { folder, asks, answer })
    }

    /// What the hook is told.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Waits until the hook asks.
    pub(super) async fn asked(&mut self) -> io::Result<()> {
        self.asks.read_u8().await.map(drop)
    }

    /// Says that branches may move, or why not.
    pub(super) fn answer(&mut self, refused: Option<&str>) -> io::Result<()> {
        let text = refused.map_or_else(|| "yes\n".to_owned(), |why| format!("error: {why}\n"));
        self.answer.write_all(text.as_bytes())?;
        self.answer.unlock()
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        // What cannot be removed is by the next start.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
