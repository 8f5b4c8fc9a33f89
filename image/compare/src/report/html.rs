//! The report as one page that needs nothing else: no network, and without scripts it shows everything.
//!
//! Whatever comes out of an image is escaped, and the page's own policy lets no script run but its own.

use crate::diff::{Comparison, Difference, EntryFacts, PackageDifference, Status};
use data_encoding::BASE64;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// What stands at the top of the page.
#[derive(Debug, Clone, Copy)]
pub struct PageTitle<'t> {
    /// What the left is.
    pub left: &'t str,
    /// What the right is.
    pub right: &'t str,
    /// The program and version that wrote the page.
    pub program: &'t str,
}

impl Comparison {
    /// The whole report as an HTML document.
    pub fn to_html(&self, title: &PageTitle<'_>) -> String {
        let mut page = String::new();
        let script = BASE64.encode(&Sha256::digest(SCRIPT));
        let style = BASE64.encode(&Sha256::digest(STYLE));
        let _ = write!(
            page,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'sha256-{script}'; \
             style-src 'sha256-{style}'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{verdict}: {left} and {right}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<header>\n\
             <h1>{verdict}</h1>\n<table>\n<tr><th scope=\"row\">left</th><td>{left}</td></tr>\n\
             <tr><th scope=\"row\">right</th><td>{right}</td></tr>\n</table>\n</header>\n<main>\n",
            verdict = escape(&self.verdict()),
            left = escape(title.left),
            right = escape(title.right),
        );
        self.registers_html(&mut page);
        self.layers_html(&mut page);
        packages_html(&mut page, &self.packages);
        self.differences_html(&mut page);
        let _ = writeln!(page, "</main>\n<footer class=\"faint\"><p>{}</p></footer>", escape(title.program));
        // It filters, and fails where there is nothing to filter.
        if !self.differences.is_empty() {
            let _ = writeln!(page, "<script>{SCRIPT}</script>");
        }
        page.push_str("</body>\n</html>\n");
        page
    }

    fn verdict(&self) -> String {
        match self.differences.len() {
            0 if self.is_same() => "Nothing differs".into(),
            0 => "No file differs".into(),
            1 => "1 difference".into(),
            count => format!("{count} differences"),
        }
    }

    fn registers_html(&self, page: &mut String) {
        let Some(words) = self.register_words() else { return };
        let _ = write!(
            page,
            "<h2>Registers</h2>\n<p>{}</p>\n<div class=\"wide\"><table>\n\
             <tr><th scope=\"col\"></th><th scope=\"col\">left</th><th scope=\"col\">right</th></tr>\n",
            escape(words)
        );
        for difference in self.registers.iter().flatten() {
            let shown = |pcr: &Option<caution_measure::Pcr>| {
                pcr.map_or_else(|| "none".to_owned(), |pcr| format!("<code>{pcr}</code>"))
            };
            let (left, right) = (shown(&difference.left), shown(&difference.right));
            let register = difference.register;
            let _ = writeln!(
                page,
                "<tr><th scope=\"row\">PCR{register}</th><td>{left}</td><td>{right}</td></tr>"
            );
        }
        page.push_str("</table></div>\n");
    }

    fn layers_html(&self, page: &mut String) {
        page.push_str("<h2>Layers</h2>\n<table>\n");
        for layer in &self.layers {
            let problems: String =
                layer.problems.iter().map(|problem| format!(" {}", escape(problem))).collect();
            let _ = writeln!(
                page,
                "<tr><th scope=\"row\">{}</th><td>{}{problems}</td></tr>",
                escape(&layer.name()),
                layer.words()
            );
        }
        page.push_str("</table>\n");
    }

    fn differences_html(&self, page: &mut String) {
        if self.differences.is_empty() {
            return;
        }
        let shown = &self.differences[..self.differences.len().min(MOST_DIFFERENCES)];
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for difference in shown {
            for cause in causes(difference) {
                *counts.entry(cause).or_default() += 1;
            }
        }
        page.push_str(
            "<h2>Differences, most telling first</h2>\n<div id=\"filters\" role=\"group\" aria-label=\"Filter\" hidden>\n\
             <input type=\"search\" placeholder=\"path\" aria-label=\"Only paths with this text\">\n",
        );
        for (cause, count) in counts {
            let _ = writeln!(
                page,
                "<button type=\"button\" aria-pressed=\"false\" data-cause=\"{cause}\">{cause} ({count})</button>"
            );
        }
        page.push_str("<span id=\"count\" class=\"faint\" role=\"status\"></span>\n</div>\n");
        for difference in shown {
            article(page, difference);
        }
        if let Some(more) = self.differences.len().checked_sub(shown.len()).filter(|more| *more > 0) {
            let _ = writeln!(page, "<p>… and {more} more, which <code>--json</code> gives.</p>");
        }
    }
}

/// The causes of a difference as the filter knows them, each once; what has none, or not for everything, is `unknown`.
fn causes(difference: &Difference) -> BTreeSet<&'static str> {
    let mut names: BTreeSet<&str> =
        difference.attributions.iter().map(|attribution| attribution.cause.name()).collect();
    if difference.unexplained || names.is_empty() {
        names.insert("unknown");
    }
    names
}

fn article(page: &mut String, difference: &Difference) {
    let Difference { layer, path, status, aspects, content, .. } = difference;
    let what = match status {
        Status::Added => "only on the right".to_owned(),
        Status::Removed => "only on the left".to_owned(),
        Status::Changed => aspects.iter().map(|aspect| aspect.name()).collect::<Vec<_>>().join(", "),
    };
    let kind = content.as_ref().map(|content| format!(" · {}", content.kind)).unwrap_or_default();
    let _ = write!(
        page,
        "<article data-causes=\"{}\" data-path=\"{}\">\n<div class=\"path\">{}</div>\n<p class=\"faint\">{} · {}{}</p>\n",
        causes(difference).into_iter().collect::<Vec<_>>().join(" "),
        escape(path),
        escape(&difference.name()),
        escape(layer),
        escape(&what),
        escape(&kind),
    );
    for words in difference.written_words() {
        let _ = writeln!(page, "<p class=\"written\">{}</p>", escape(&words));
    }
    for attribution in &difference.attributions {
        let _ = writeln!(
            page,
            "<div class=\"cause\"><p><b>{}</b> {}</p><p class=\"faint\">fix: {}</p></div>",
            attribution.cause,
            escape(&attribution.evidence),
            escape(&attribution.fix),
        );
    }
    if let Some(words) = difference.open_words() {
        let _ = writeln!(page, "<div class=\"cause unknown\"><p>{}</p></div>", escape(&words));
    }
    changes(page, difference);
    facts(page, difference);
    page.push_str("</article>\n");
}

fn changes(page: &mut String, difference: &Difference) {
    let Some(content) = difference.content.as_ref().filter(|content| !content.changes.is_empty()) else {
        return;
    };
    let open = if difference.attributions.is_empty() { " open" } else { "" };
    let _ = writeln!(page, "<details{open}><summary>what changed inside</summary>");
    for change in &content.changes {
        if !change.place.is_empty() {
            let _ = writeln!(page, "<p class=\"faint\">{}</p>", escape(&change.place));
        }
        page.push_str("<pre>");
        for line in change.what.trim_end().lines() {
            let class = match line.as_bytes().first() {
                Some(b'+') => " class=\"plus\"",
                Some(b'-') => " class=\"minus\"",
                _ => "",
            };
            let _ = writeln!(page, "<span{class}>{}</span>", escape(line));
        }
        page.push_str("</pre>\n");
    }
    if content.more_changes > 0 {
        let _ = writeln!(page, "<p class=\"faint\">… and {} more</p>", content.more_changes);
    }
    page.push_str("</details>\n");
}

fn facts(page: &mut String, difference: &Difference) {
    page.push_str("<details><summary>sizes, digests, owners</summary>\n<div class=\"wide\"><table>\n");
    for (side, facts) in [("left", &difference.left), ("right", &difference.right)] {
        let Some(EntryFacts { kind, size, sha256, mode, owner, target, .. }) = facts else { continue };
        let mut words = vec![kind.words().to_owned()];
        words.extend(target.as_ref().map(|target| format!("→ {target}")));
        words.extend(size.map(|size| format!("{size} bytes")));
        words.extend(mode.as_ref().map(|mode| format!("mode {mode}")));
        words.extend(owner.as_ref().map(|owner| format!("owner {owner}")));
        words.extend(sha256.as_ref().map(|sha256| format!("SHA-256 {sha256}")));
        let _ =
            writeln!(page, "<tr><th scope=\"row\">{side}</th><td>{}</td></tr>", escape(&words.join(" · ")));
    }
    page.push_str("</table></div></details>\n");
}

fn packages_html(page: &mut String, packages: &[PackageDifference]) {
    if packages.is_empty() {
        return;
    }
    let _ = write!(
        page,
        "<details><summary>{} packages in other versions</summary>\n<div class=\"wide\"><table>\n\
         <tr><th scope=\"col\">package</th><th scope=\"col\">left</th><th scope=\"col\">right</th></tr>\n",
        packages.len()
    );
    for PackageDifference { manager, name, left, right } in packages.iter().take(MOST_DIFFERENCES) {
        let version =
            |version: &Option<String>| version.as_deref().map_or_else(|| "not installed".into(), escape);
        let _ = writeln!(
            page,
            "<tr><td>{} <span class=\"faint\">{manager}</span></td><td>{}</td><td>{}</td></tr>",
            escape(name),
            version(left),
            version(right)
        );
    }
    page.push_str("</table></div></details>\n");
}

/// For text and for attributes in double quotes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // A page has no other control characters.
            c if c.is_control() && c != '\n' && c != '\t' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// A page with more is of no use to anyone.
const MOST_DIFFERENCES: usize = 5000;
