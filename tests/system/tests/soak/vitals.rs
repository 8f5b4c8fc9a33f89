//! Descriptors and memory of the processes that stay, from one look to the next.

use std::collections::BTreeMap;

/// What a process takes.
#[derive(Debug, Clone, Copy)]
struct Vitals {
    descriptors: u64,
    memory_kib: u64,
}

impl Vitals {
    /// Of a process that lives, with what tells it from a later one of its number.
    fn of(pid: i32) -> Option<(u64, Self)> {
        let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The start, field 22 of proc(5); the name is in parentheses.
        let start = line.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
        Some((start, Self { descriptors, memory_kib: line.split_whitespace().next()?.parse().ok()? }))
    }
}

/// The first look at each process, which is warm by then, and how much more it took at the last.
#[derive(Default)]
pub(crate) struct Watched {
    first: BTreeMap<&'static str, (i32, u64, Vitals)>,
    /// The most that any process of this name had grown by its last look: descriptors and KiB.
    grown: BTreeMap<&'static str, (i64, i64)>,
    looks: u64,
}

impl Watched {
    pub(crate) fn look(&mut self, name: &'static str, pid: Option<i32>) {
        let Some((pid, (start, now))) = pid.and_then(|pid| Some((pid, Vitals::of(pid)?))) else { return };
        self.looks += 1;
        let known = self.first.get(name).filter(|(p, s, _)| (*p, *s) == (pid, start));
        let Some((_, _, first)) = known else {
            self.first.insert(name, (pid, start, now));
            return;
        };
        let more = |now: u64, first: u64| now.cast_signed() - first.cast_signed();
        let grown = (more(now.descriptors, first.descriptors), more(now.memory_kib, first.memory_kib));
        let most = self.grown.entry(name).or_default();
        *most = (most.0.max(grown.0), most.1.max(grown.1));
    }

    /// Insists that nothing grew beyond what clients that come and go make of it.
    pub(crate) fn assert_flat(&self) {
        for (name, (descriptors, memory_kib)) in &self.grown {
            // Caddy's memory is collected when it has doubled.
            let limit_kib = if *name == "Caddy" { 64 * 1024 } else { 4 * 1024 };
            assert!(
                *descriptors <= 64 && *memory_kib <= limit_kib,
                "{name}: {descriptors} descriptors, {memory_kib} KiB"
            );
        }
    }

    pub(crate) fn report(&self) -> String {
        let lines = self
            .grown
            .iter()
            .map(|(name, (d, k))| format!("  {name}: at most {d} descriptors, {k} KiB more\n"));
        format!("after warm-up, {} looks:\n{}", self.looks, lines.collect::<String>())
    }
}
