//! Names of months, days of the week and time zones.

/// The number of a month's name, whole or short, and whether the name is English.
pub(super) fn month(word: &str) -> Option<(i64, bool)> {
    let word = word.to_lowercase();
    let number = |names: &[&str]| names.iter().position(|name| *name == word);
    if let Some(index) = number(&MONTHS).or_else(|| number(&LONG_MONTHS)) {
        return Some((i64::try_from(index % 12).ok()? + 1, true));
    }
    let index = OTHER_MONTHS.iter().position(|names| names.contains(&word.as_str()))?;
    Some((i64::try_from(index).ok()? + 1, false))
}

/// Whether a word is the name of a day of the week, and English.
pub(super) fn weekday(word: &str) -> Option<bool> {
    let word = word.to_lowercase();
    if WEEKDAYS.contains(&word.as_str()) {
        return Some(true);
    }
    OTHER_WEEKDAYS.contains(&word.as_str()).then_some(false)
}

/// Seconds east of UTC that a zone's name means.
pub(super) fn zone(word: &str) -> Option<i64> {
    ZONES.iter().find(|(name, _)| *name == word).map(|(_, half_hours)| half_hours * 1800)
}

/// Names of zones that mean one thing, in half hours east of UTC.
const ZONES: [(&str, i64); 21] = [
    ("UTC", 0),
    ("GMT", 0),
    ("Z", 0),
    ("WET", 0),
    ("WEST", 2),
    ("CET", 2),
    ("CEST", 4),
    ("EET", 4),
    ("EEST", 6),
    ("MSK", 6),
    ("JST", 18),
    ("KST", 18),
    ("AEST", 20),
    ("AEDT", 22),
    ("NZST", 24),
    ("EST", -10),
    ("EDT", -8),
    ("CST", -12),
    ("CDT", -10),
    ("PST", -16),
    ("PDT", -14),
];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const LONG_MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
/// German, French, Spanish and Italian names that are not English ones.
const OTHER_MONTHS: [&[&str]; 12] = [
    &["januar", "jän", "janvier", "janv", "enero", "ene", "gennaio", "gen"],
    &["februar", "février", "févr", "fév", "febrero", "febbraio"],
    &["märz", "mär", "mrz", "mars", "marzo"],
    &["avril", "avr", "abril", "abr", "aprile"],
    &["mai", "mayo", "maggio", "mag"],
    &["juni", "juin", "junio", "giugno", "giu"],
    &["juli", "juillet", "juil", "julio", "luglio", "lug"],
    &["août", "agosto", "ago"],
    &["septembre", "sept", "septiembre", "settembre", "set"],
    &["oktober", "okt", "octobre", "octubre", "ottobre", "ott"],
    &["novembre", "noviembre"],
    &["dezember", "dez", "décembre", "déc", "diciembre", "dic", "dicembre"],
];
const WEEKDAYS: [&str; 14] = [
    "mon",
    "tue",
    "wed",
    "thu",
    "fri",
    "sat",
    "sun",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];
const OTHER_WEEKDAYS: [&str; 35] = [
    "mo",
    "di",
    "mi",
    "do",
    "fr",
    "sa",
    "so",
    "montag",
    "dienstag",
    "mittwoch",
    "donnerstag",
    "freitag",
    "samstag",
    "sonntag",
    "lun",
    "mar",
    "mer",
    "jeu",
    "ven",
    "sam",
    "dim",
    "lundi",
    "mardi",
    "mercredi",
    "jeudi",
    "vendredi",
    "samedi",
    "dimanche",
    "lunes",
    "martes",
    "miércoles",
    "jueves",
    "viernes",
    "sábado",
    "domingo",
];
