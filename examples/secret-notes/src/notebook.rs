//! Notes and their files, in memory: gone when the enclave ends.

use crate::room::Room;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The longest note, in bytes.
pub const MAX_NOTE: usize = 16 * 1024;
/// The largest file.
pub const MAX_FILE: usize = 16 << 20;
/// All files together.
const MAX_FILES: usize = 48 << 20;
const MAX_NOTES: usize = 500;

/// A file that was put beside the notes.
#[derive(Debug, Clone)]
pub struct File {
    pub name: String,
    pub bytes: Arc<Vec<u8>>,
}

#[derive(Debug)]
enum Note {
    Text(String),
    File(File),
}

#[derive(Debug, Default)]
struct State {
    notes: BTreeMap<u32, Note>,
    last: u32,
    room: Room,
}

/// There is no room for more.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// Everything that was written.
#[derive(Debug, Default)]
pub struct Notebook(Mutex<State>);

impl Notebook {
    /// Keeps a text, and tells who watches.
    pub fn add_text(&self, text: String) -> Result<u32, Full> {
        self.add(Note::Text(text))
    }

    /// Keeps a file, and tells who watches.
    pub fn add_file(&self, name: String, bytes: Vec<u8>) -> Result<u32, Full> {
        self.add(Note::File(File { name, bytes: Arc::new(bytes) }))
    }

    fn add(&self, note: Note) -> Result<u32, Full> {
        let mut state = self.state();
        let kept: usize = state.notes.values().map(Note::bytes).sum();
        if state.notes.len() >= MAX_NOTES || kept + note.bytes() > MAX_FILES {
            return Err(Full);
        }
        state.last += 1;
        let number = state.last;
        let event = event("note", &note.json(number));
        state.notes.insert(number, note);
        state.room.say(&event, 0);
        Ok(number)
    }

    /// Forgets a note; whether there was one.
    pub fn remove(&self, number: u32) -> bool {
        let mut state = self.state();
        let known = state.notes.remove(&number).is_some();
        if known {
            state.room.say(&event("gone", &number.to_string()), 0);
        }
        known
    }

    /// A file, where the number is one's.
    pub fn file(&self, number: u32) -> Option<File> {
        match self.state().notes.get(&number)? {
            Note::File(file) => Some(file.clone()),
            Note::Text(_) => None,
        }
    }

    /// All notes as JSON.
    pub fn list(&self) -> String {
        self.state().list()
    }

    /// All notes as an event, and the events of every change from then on.
    pub fn watch(&self) -> (String, Receiver<String>) {
        let mut state = self.state();
        let (_, changes) = state.room.join();
        (event("all", &state.list()), changes)
    }

    /// Nothing that holds the lock can leave it half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn list(&self) -> String {
        let notes: Vec<_> = self.notes.iter().map(|(number, note)| note.json(*number)).collect();
        format!("[{}]", notes.join(","))
    }
}

impl Note {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::File(file) => file.bytes.len(),
        }
    }

    fn json(&self, number: u32) -> String {
        match self {
            Self::Text(text) => format!(r#"{{"id":{number},"text":{}}}"#, quoted(text)),
            Self::File(File { name, bytes }) => {
                format!(r#"{{"id":{number},"file":{},"bytes":{}}}"#, quoted(name), bytes.len())
            }
        }
    }
}

/// A server-sent event; its data has no line breaks.
fn event(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

/// A string of JSON.
pub fn quoted(text: &str) -> String {
    let mut json = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            '\0'..='\x1f' => drop(write!(json, "\\u{:04x}", u32::from(character))),
            _ => json.push(character),
        }
    }
    json + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_watches_sees_all_there_is_and_every_change() {
        let notebook = Notebook::default();
        assert_eq!(notebook.add_text("one\n\"x\"".to_owned()), Ok(1));
        let (all, changes) = notebook.watch();
        assert_eq!(all, "event: all\ndata: [{\"id\":1,\"text\":\"one\\u000a\\\"x\\\"\"}]\n\n");
        assert_eq!(notebook.add_file("a.pdf".to_owned(), vec![0; 3]), Ok(2));
        assert!(notebook.remove(1) && !notebook.remove(1));
        let expected =
            ["event: note\ndata: {\"id\":2,\"file\":\"a.pdf\",\"bytes\":3}\n\n", "event: gone\ndata: 1\n\n"];
        assert_eq!(changes.try_iter().collect::<Vec<_>>(), expected);
        assert_eq!(notebook.file(2).expect("a file").bytes.len(), 3);
        assert!(notebook.file(1).is_none());
        assert_eq!(notebook.add_text("three".to_owned()), Ok(3), "numbers are not used again");
    }

    #[test]
    fn there_are_limits() {
        let notebook = Notebook::default();
        for _ in 0..MAX_FILES / MAX_FILE {
            notebook.add_file("x".to_owned(), vec![0; MAX_FILE]).expect("room");
        }
        assert_eq!(notebook.add_file("x".to_owned(), vec![0]), Err(Full));
        let notebook = Notebook::default();
        for _ in 0..MAX_NOTES {
            notebook.add_text(String::new()).expect("room");
        }
        assert_eq!(notebook.add_text(String::new()), Err(Full));
    }
}
