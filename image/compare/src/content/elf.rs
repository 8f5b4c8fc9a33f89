//! ELF files, section by section.

use super::binary::{Strings, amount, compare_strings, compare_tables};
use super::findings::Findings;
use super::judge::Context;
use super::order;
use crate::cause::Cause;
use data_encoding::HEXLOWER;
use object::{File, Object, ObjectSection, ObjectSymbol, SymbolKind};
use std::collections::BTreeMap;

/// Compares two files.
pub(super) fn compare(left: &[u8], right: &[u8], findings: &mut Findings) {
    let (Ok(l), Ok(r)) = (File::parse(left), File::parse(right)) else {
        findings.unexplained("", format!("damaged; {}", amount(left, right)));
        return;
    };
    if l.architecture() != r.architecture() {
        let evidence = format!("{:?} → {:?}", l.architecture(), r.architecture());
        findings.change_shows(Cause::Processor, "header", &evidence);
        return;
    }
    let (open, causes) = (findings.open(), findings.causes());
    let before = Before { causes, compilers: compilers(findings) };
    let (l_sections, r_sections) = (sections(&l, left.len()), sections(&r, right.len()));
    compare_names(&l_sections, &r_sections, findings);
    let differing: Vec<(&str, &[u8], &[u8])> = l_sections
        .iter()
        .filter_map(|(name, l)| Some((name.as_str(), *l, *r_sections.get(name)?)))
        .filter(|(_, l, r)| l != r)
        .collect();
    let mut follows = Vec::new();
    for (name, l, r) in &differing {
        compare_section(name, l, r, &mut follows, findings);
    }
    let symbols = (Symbols::of(&l, left.len()), Symbols::of(&r, right.len()));
    let explained = compare_symbols(symbols, &differing, before, findings);
    for (name, what) in follows {
        findings.unexplained(name, what);
    }
    if explained {
        findings.explained_down_to(open);
    }
    match differing.as_slice() {
        [] if findings.open() == open => {
            findings
                .unexplained("header", "the sections are the same, a header or what lies between differs");
        }
        [(name, l, r), rest @ ..]
            if findings.open() == open
                && findings.causes() == causes
                && part(name) == Part::BuildId
                && rest.iter().all(|(name, ..)| part(name) == Part::BuildId) =>
        {
            // Sections may leave out what is loaded.
            if differ_elsewhere((left, &l_sections), (right, &r_sections)) {
                findings.unexplained("header", "something differs outside of the sections, too");
            } else {
                findings.shows(Cause::BuildId, name, build_id(l, r));
            }
        }
        _ => {}
    }
}

/// Whether two files differ anywhere but in the sections that are, or name, a build id.
fn differ_elsewhere(left: (&[u8], &Sections<'_>), right: (&[u8], &Sections<'_>)) -> bool {
    let without = |(file, sections): (&[u8], &Sections<'_>)| -> Vec<u8> {
        let mut bytes = file.to_vec();
        for (_, data) in sections.iter().filter(|(name, _)| part(name) == Part::BuildId) {
            // Sections are slices of the file.
            let at = data.as_ptr().addr().saturating_sub(file.as_ptr().addr());
            if let Some(found) = bytes.get_mut(at..at.saturating_add(data.len())) {
                found.fill(0);
            }
        }
        bytes
    };
    without(left) != without(right)
}

fn compare_section<'a>(
    name: &'a str,
    left: &[u8],
    right: &[u8],
    follows: &mut Vec<(&'a str, String)>,
    findings: &mut Findings,
) {
    match part(name) {
        Part::BuildId => findings.change(name, build_id(left, right)),
        Part::Comment => compare_comment(name, left, right, findings),
        Part::Property => compare_property(name, left, right, findings),
        Part::Table => {
            let context = Context { compiled: true, debug: true, ..Context::default() };
            if compare_tables(name, left, right, &context, findings) {
                follows.push((name, amount(left, right)));
            } else {
                findings.unexplained(name, amount(left, right));
            }
        }
        Part::Strings { debug } => {
            let context = Context { compiled: true, debug, ..Context::default() };
            let Strings { complete, same_outside } = compare_strings(name, left, right, &context, findings);
            if !complete {
                findings.unexplained(name, amount(left, right));
            } else if !same_outside {
                follows.push((name, amount(left, right)));
            }
        }
        Part::Code => follows.push((name, amount(left, right))),
    }
}

/// Names that one side lacks.
fn compare_names(left: &Sections<'_>, right: &Sections<'_>, findings: &mut Findings) {
    for name in left.keys().filter(|name| !right.contains_key(*name)) {
        findings.unexplained(name, "only on the left");
    }
    for name in right.keys().filter(|name| !left.contains_key(*name)) {
        findings.unexplained(name, "only on the right");
    }
}

/// Looks at the order of the symbols, and says whether what differs in code and tables follows from what was
/// shown: from another compiler, from another order, or from strings of another length that move what is behind.
fn compare_symbols(
    (left, right): (Symbols, Symbols),
    differing: &[(&str, &[u8], &[u8])],
    before: Before,
    findings: &mut Findings,
) -> bool {
    let (l, r) = (left.functions, right.functions);
    let same = l.len() > 1 && order::same_things(&l, &r);
    // Where the objects were linked in the same order, somebody has moved functions.
    let linked = left.files.is_empty() || left.files != right.files;
    if same && l != r && linked {
        let (first, other) = l.iter().zip(&r).find(|(l, r)| l != r).map_or(("", ""), |(l, r)| (&l.0, &r.0));
        let evidence = format!("the same {} symbols in another order, first {first} → {other}", l.len());
        findings.change("symbols", &evidence);
        findings.shows_with_fix(
            Cause::FileOrder,
            "symbols",
            evidence,
            Some("sort the object files before they are linked, as in `$(sort $(wildcard *.o))`"),
        );
        return true;
    }
    let longer = |(name, l, r): &(&str, &[u8], &[u8])| {
        matches!(part(name), Part::Strings { .. } | Part::Table) && l.len() != r.len()
    };
    compilers(findings) > before.compilers
        || (findings.causes() > before.causes && same && l == r && differing.iter().any(longer))
}

/// What was shown before this file: in an archive other files were.
#[derive(Clone, Copy)]
struct Before {
    causes: usize,
    compilers: usize,
}

/// How often another compiler or processor was shown.
fn compilers(findings: &Findings) -> usize {
    findings.times(Cause::Toolchain) + findings.times(Cause::Processor)
}

fn compare_comment(name: &str, left: &[u8], right: &[u8], findings: &mut Findings) {
    let compilers = |section: &[u8]| -> String {
        let text = String::from_utf8_lossy(section);
        let mut names: Vec<&str> = text.split('\0').filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        names.dedup();
        names.join(", ")
    };
    let (l, r) = (compilers(left), compilers(right));
    if l == r {
        findings.change(name, "the same compilers, named in another order");
        return;
    }
    let evidence = format!("{l} → {r}");
    findings.change_shows(Cause::Toolchain, name, &evidence);
}

/// Which processor's instructions are needed (x86-64 psABI, "Program property").
fn compare_property(name: &str, left: &[u8], right: &[u8], findings: &mut Findings) {
    let (l, r) = (needed(left), needed(right));
    if l == r {
        findings.unexplained(name, amount(left, right));
        return;
    }
    let level = |bits: Option<u32>| match bits.unwrap_or(0) {
        0 => "none said".to_owned(),
        bits => (1..=4)
            .filter(|n| bits & (1 << (n - 1)) != 0)
            .map(|n| format!("x86-64-v{n}"))
            .collect::<Vec<_>>()
            .join("+"),
    };
    let evidence = format!("instructions needed: {} → {}", level(l), level(r));
    findings.change_shows(Cause::Processor, name, &evidence);
}

/// `GNU_PROPERTY_X86_ISA_1_NEEDED` of a note.
fn needed(note: &[u8]) -> Option<u32> {
    let word =
        |at: usize| -> Option<u32> { Some(u32::from_le_bytes(note.get(at..at + 4)?.try_into().ok()?)) };
    // Length of the name, of the properties, type, and `GNU\0`.
    let mut at = 16;
    while let (Some(kind), Some(length)) = (word(at), word(at + 4)) {
        if kind == 0xc000_8002 {
            return word(at + 8);
        }
        at += 8 + (length as usize).min(note.len()).next_multiple_of(8);
    }
    None
}

fn build_id(left: &[u8], right: &[u8]) -> String {
    let id = |note: &[u8]| HEXLOWER.encode(note.get(16..).unwrap_or(note).get(..20).unwrap_or_default());
    format!("{} → {}", id(left), id(right))
}

/// What a section is to a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The build id, or what names it: digests of the rest.
    BuildId,
    Comment,
    Property,
    Strings {
        debug: bool,
    },
    /// Strings that the linker merged, in an order of its own.
    Table,
    Code,
}

fn part(name: &str) -> Part {
    match name {
        ".note.gnu.build-id" | ".gnu_debuglink" | ".note.go.buildid" => Part::BuildId,
        ".comment" => Part::Comment,
        ".note.gnu.property" => Part::Property,
        ".interp" | ".dynstr" | ".strtab" | ".gopclntab" | ".rustc" | ".tdata" => {
            Part::Strings { debug: false }
        }
        ".debug_str" | ".debug_line_str" => Part::Table,
        _ if name.starts_with(".debug_") => Part::Strings { debug: true },
        _ if [".rodata", ".data", ".note", ".go.", ".GCC."].iter().any(|start| name.starts_with(start)) => {
            Part::Strings { debug: false }
        }
        _ => Part::Code,
    }
}

type Sections<'a> = BTreeMap<String, &'a [u8]>;

/// Sections by name; a name that comes again gets a number.
fn sections<'a>(file: &File<'a>, length: usize) -> Sections<'a> {
    let mut found = BTreeMap::new();
    let mut seen = 0;
    for section in file.sections().take(MOST_SECTIONS) {
        let Ok(name) = section.name() else { continue };
        let data = section.data().unwrap_or_default();
        // Sections that lie upon each other are made to be read again and again.
        seen += name.len() + data.len();
        if seen > MOST_SEEN * length {
            break;
        }
        let mut unique = name.to_owned();
        let mut count = 1;
        while found.contains_key(&unique) && count < MOST_REPEATS {
            count += 1;
            unique = format!("{name} ({count})");
        }
        found.insert(unique, data);
    }
    found
}

/// A name and a size.
type Function = (String, u64);

#[derive(Default)]
struct Symbols {
    /// Names and sizes of functions, in the order of their addresses.
    functions: Vec<Function>,
    /// Sources, in the order of the table: that in which the objects were linked.
    files: Vec<String>,
}

impl Symbols {
    fn of(file: &File<'_>, length: usize) -> Self {
        let (mut seen, mut functions, mut files) = (0, Vec::new(), Vec::new());
        for symbol in file.symbols().take(MOST_SYMBOLS) {
            seen += symbol.name_bytes().map_or(0, <[u8]>::len);
            if seen > MOST_SEEN * length {
                break;
            }
            let name = || symbol.name().unwrap_or_default().to_owned();
            if symbol.kind() == SymbolKind::File {
                files.push(name());
            } else if symbol.is_definition() && symbol.kind() == SymbolKind::Text {
                functions.push((symbol.address(), name(), symbol.size()));
            }
        }
        functions.sort();
        Self { functions: functions.into_iter().map(|(_, name, size)| (name, size)).collect(), files }
    }
}

const MOST_SECTIONS: usize = 4096;
/// How often the bytes of a file may be seen by names and sections that share them.
const MOST_SEEN: usize = 2;
const MOST_REPEATS: usize = 64;
const MOST_SYMBOLS: usize = 200_000;
