//! `--list`: what `ls -l` would show.

use crate::Context;
use crate::error::CliError;
use crate::terminal::Look;
use caution_appspec::printable;
use caution_compare::{Entry, Kind, Layer, Listed, Side};
use std::collections::HashMap;
use std::fmt::Write as _;

pub(super) fn run(context: &Context, side: &Side, layers: &[usize]) -> Result<(), CliError> {
    let listing = side.list_only(|layer| layers.contains(&layer))?;
    let listed: Vec<&Layer> = listing.layers.iter().filter(|layer| layer.entries.is_some()).collect();
    if context.terminal.json {
        let layers: Vec<_> = listed.iter().map(|layer| to_json(layer)).collect();
        let file = side.path().to_string_lossy();
        context.terminal.json_result(&serde_json::json!({ "file": file, "layers": layers }));
    } else {
        let mut text = String::new();
        for layer in &listed {
            if listed.len() > 1 {
                let gap = if text.is_empty() { "" } else { "\n" };
                let name = context.terminal.paint(Look::Good, &layer.name.to_string());
                let _ = writeln!(text, "{gap}{name}");
            }
            lines(&mut text, layer.listed());
        }
        context.terminal.result(&text);
    }
    for problem in listed.iter().filter_map(|layer| layer.problem.as_ref()) {
        let problem = CliError::from_error(crate::error::Exit::Other, problem);
        context.terminal.warning(&problem.summary(), None);
    }
    Ok(())
}

fn to_json(layer: &Layer) -> serde_json::Value {
    let entries = layer.listed();
    let entries: Vec<_> = entries
        .iter()
        .map(|Listed { entry, content }| {
            let mut json = entry.to_json();
            if let Some(content) = content {
                json.insert("size".into(), content.size.into());
                json.insert("sha256".into(), content.sha256.to_string().into());
            }
            if let Kind::File { group: Some(group), .. } = entry.kind {
                json.insert("link_group".into(), group.into());
            }
            serde_json::Value::Object(json)
        })
        .collect();
    let problem = layer.problem.as_ref();
    let problem = problem.map(|error| CliError::from_error(crate::error::Exit::Other, error).summary());
    serde_json::json!({ "name": layer.name.to_string(), "problem": problem, "entries": entries })
}

/// One line an entry, in columns as wide as they must be. Times are left out where none is kept: in images that
/// Caution made all of them are zero.
fn lines(text: &mut String, entries: &[Listed]) {
    let mut names: HashMap<u64, usize> = HashMap::new();
    for listed in entries {
        if let Kind::File { group: Some(group), .. } = listed.entry.kind {
            *names.entry(group).or_default() += 1;
        }
    }
    let has_times = entries.iter().any(|listed| listed.entry.mtime.is_some_and(|time| time != 0));
    let rows: Vec<[String; 5]> = entries.iter().map(|listed| columns(listed, &names)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: [usize; 5] = std::array::from_fn(width);
    for (row, Listed { entry, .. }) in rows.iter().zip(entries) {
        for (column, width) in row.iter().zip(widths) {
            let _ = write!(text, "{column:>width$} ");
        }
        if has_times {
            let time =
                entry.mtime.and_then(|time| jiff::Timestamp::from_second(time).ok()).unwrap_or_default();
            let _ = write!(text, "{} ", time.strftime("%Y-%m-%d %H:%M"));
        }
        let _ = write!(text, "{}", printable(&String::from_utf8_lossy(&entry.path)));
        if let Kind::Symlink(target) = &entry.kind {
            let _ = write!(text, " -> {}", printable(&String::from_utf8_lossy(target)));
        }
        text.push('\n');
    }
}

/// Mode, number of names, owner, group, length.
fn columns(Listed { entry, content }: &Listed, names: &HashMap<u64, usize>) -> [String; 5] {
    let links = match entry.kind {
        Kind::File { group: Some(group), .. } => names.get(&group).copied().unwrap_or(1),
        _ => 1,
    };
    let size = match (&entry.kind, content) {
        (_, Some(content)) => content.size.to_string(),
        (Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor }, _) => {
            format!("{major},{minor}")
        }
        (Kind::Symlink(target), _) => target.len().to_string(),
        _ => "0".to_owned(),
    };
    [mode(entry), links.to_string(), entry.uid.to_string(), entry.gid.to_string(), size]
}

/// `drwxr-xr-t`.
fn mode(entry: &Entry) -> String {
    let kind = match entry.kind {
        Kind::File { .. } => '-',
        Kind::Directory => 'd',
        Kind::Symlink(_) => 'l',
        Kind::CharDevice { .. } => 'c',
        Kind::BlockDevice { .. } => 'b',
        Kind::Fifo => 'p',
    };
    let mut text = String::from(kind);
    for (shift, special, letters) in
        [(6, 0o4000, ['s', 'S']), (3, 0o2000, ['s', 'S']), (0, 0o1000, ['t', 'T'])]
    {
        let bits = entry.mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (entry.mode & special != 0, bits & 1 != 0) {
            (true, true) => letters[0],
            (true, false) => letters[1],
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: Kind, mode: u32, mtime: i64) -> Listed {
        let entry = Entry { path: path.into(), kind, mode, uid: 0, gid: 1000, mtime: Some(mtime) };
        Listed { entry, content: None }
    }

    fn shown(entries: &[Listed]) -> String {
        let mut text = String::new();
        lines(&mut text, entries);
        text
    }

    #[test]
    fn entries_are_shown_as_ls_does() {
        let link = || Kind::File { size: 0, group: Some(1) };
        let entries = [
            entry("/", Kind::Directory, 0o1755, 0),
            entry("/dev/null", Kind::CharDevice { major: 1, minor: 3 }, 0o666, 0),
            entry("/a", link(), 0o4755, 0),
            entry("/b\u{1b}", link(), 0o2640, 0),
            entry("/l", Kind::Symlink(b"a".to_vec()), 0o777, 0),
        ];
        assert_eq!(
            shown(&entries),
            "drwxr-xr-t 1 0 1000   0 /\n\
             crw-rw-rw- 1 0 1000 1,3 /dev/null\n\
             -rwsr-xr-x 2 0 1000   0 /a\n\
             -rw-r-S--- 2 0 1000   0 /b\\u{1b}\n\
             lrwxrwxrwx 1 0 1000   1 /l -> a\n"
        );
    }

    #[test]
    fn times_are_shown_where_they_are_kept() {
        let entries = [entry("/a", Kind::Fifo, 0o600, 0), entry("/b", Kind::Fifo, 0o600, 86400 * 365)];
        assert_eq!(
            shown(&entries),
            "prw------- 1 0 1000 0 1970-01-01 00:00 /a\nprw------- 1 0 1000 0 1971-01-01 00:00 /b\n"
        );
    }
}
