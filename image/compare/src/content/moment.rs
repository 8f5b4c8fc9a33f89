//! Moments as programs print them: a strict reader of dates and times at the start of a text.

mod names;

use names::{month, weekday, zone};

/// A date, a time of day or both, as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// Days since 1970-01-01, where the date is whole.
    pub(super) day: Option<i64>,
    /// Seconds since midnight, as written.
    pub(super) time: Option<i64>,
    /// Seconds east of UTC, where it is said.
    pub(super) offset: Option<i64>,
    /// How it was written, apart from the values: language of names, twelve or twenty-four hours.
    pub(super) style: Style,
}

/// What a language setting decides about a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    language: Language,
    half_days: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    /// Names that English has, or no names.
    English,
    Other,
}

impl Moment {
    /// Seconds since the epoch as the clock on the wall showed them, where date and time are known.
    pub(super) fn local(&self) -> Option<i64> {
        Some(self.day? * DAY + self.time?)
    }

    /// Seconds since the epoch, where date, time and zone are known.
    pub(super) fn instant(&self) -> Option<i64> {
        Some(self.local()? - self.offset?)
    }
}

/// The longest moment at the start of `text`: how many bytes it takes, and what it says.
pub(super) fn at_start(text: &str) -> Option<(usize, Moment)> {
    let found = numeric(text).or_else(|| named(text)).or_else(|| time_only(text))?;
    // What goes on in letters or digits is something longer, of which this is no part.
    let next = text[found.0..].bytes().next();
    (!next.is_some_and(|b| b.is_ascii_alphanumeric())).then_some(found)
}

/// `2026-11-20T08:01:59Z`, `2026-11-20 08:01:59.123 +0100`, `2026/11/20`, `20261120T080159Z`, `20261120080159`.
fn numeric(text: &str) -> Option<(usize, Moment)> {
    let mut cursor = Cursor { text, at: 0 };
    let year = cursor.digits(4)?;
    let separator = cursor.one_of("-/");
    let month = cursor.digits(2)?;
    if let Some(separator) = separator
        && cursor.one_of("-/") != Some(separator)
    {
        return None;
    }
    let day = day_number(year, month, cursor.digits(2)?)?;
    let date_end = cursor.at;
    let mut moment = Moment { day: Some(day), time: None, offset: None, style: PLAIN };
    let gap = cursor.one_of("T _-");
    let compact = separator.is_none();
    if let Some(time) = cursor.time(compact && gap != Some(' ')) {
        moment.time = Some(time);
        let end = cursor.at;
        moment.offset = cursor.zone();
        if moment.offset.is_none() {
            cursor.at = end;
        }
        return Some((cursor.at, moment));
    }
    // Eight digits alone are any number.
    (!compact).then_some((date_end, moment))
}

/// `Fri Nov 20 08:01:59 UTC 2026`, `20 Nov 2026 08:01:59 +0000`, `Nov 20 2026`, `Fr 20. Nov 08:01:59 CET 2026`,
/// `20/Nov/2026:08:01:59 +0000`: names and numbers in any order that says each once.
fn named(text: &str) -> Option<(usize, Moment)> {
    let mut cursor = Cursor { text, at: 0 };
    let mut fields = Fields::default();
    let mut end = 0;
    loop {
        if !fields.take(&mut cursor) {
            break;
        }
        end = cursor.at;
        // Behind a time a dash is the sign of the zone.
        cursor.separators(if fields.time.is_none() { " ,./:-" } else { " ,./:" });
    }
    let month = fields.month?;
    let date_of_year = fields.year.and_then(|year| day_number(year, month, fields.day?));
    if fields.day.is_none() || (date_of_year.is_none() && fields.time.is_none()) {
        return None;
    }
    let style = Style {
        language: if fields.other_language { Language::Other } else { Language::English },
        half_days: fields.half_days,
    };
    // Without a year (as syslog writes): days are still told apart.
    let day = date_of_year.or_else(|| day_number(1972, month, fields.day?))?;
    Some((end, Moment { day: Some(day), time: fields.time, offset: fields.offset, style }))
}

/// `08:01:59`.
fn time_only(text: &str) -> Option<(usize, Moment)> {
    let mut cursor = Cursor { text, at: 0 };
    let time = cursor.time(false)?;
    // Hours and minutes alone are ratios, ports and verses.
    (cursor.at >= 8)
        .then_some((cursor.at, Moment { day: None, time: Some(time), offset: None, style: PLAIN }))
}

#[derive(Default)]
struct Fields {
    weekday: bool,
    month: Option<i64>,
    day: Option<i64>,
    year: Option<i64>,
    time: Option<i64>,
    offset: Option<i64>,
    other_language: bool,
    half_days: bool,
}

impl Fields {
    /// Reads one more field; a field that was read before ends the moment.
    fn take(&mut self, cursor: &mut Cursor<'_>) -> bool {
        let start = cursor.at;
        if self.time.is_none()
            && let Some(time) = cursor.time(false)
        {
            self.time = Some(time);
            return true;
        }
        cursor.at = start;
        if self.time.is_some() && self.offset.is_none() {
            if let Some(offset) = cursor.zone() {
                self.offset = Some(offset);
                return true;
            }
            cursor.at = start;
        }
        if let Some(number) = cursor.digits(4) {
            if self.year.is_none() && (1970..2100).contains(&number) {
                self.year = Some(number);
                return true;
            }
            return false;
        }
        cursor.at = start;
        if let Some(number) = cursor.digits(2).or_else(|| {
            cursor.at = start;
            cursor.digits(1)
        }) {
            if self.day.is_none() && (1..=31).contains(&number) {
                self.day = Some(number);
                return true;
            }
            return false;
        }
        let word = cursor.word();
        if self.time.is_some() && !self.half_days && matches!(word, "AM" | "PM") {
            self.half_days = true;
            let half = if word == "PM" { DAY / 2 } else { 0 };
            self.time = self.time.map(|time| time % (DAY / 2) + half);
            return true;
        }
        if let Some((month, english)) = month(word)
            && self.month.is_none()
        {
            self.month = Some(month);
            self.other_language |= !english;
            return true;
        }
        match weekday(word) {
            Some(english) if !self.weekday && self.month.is_none_or(|_| self.day.is_none()) => {
                self.weekday = true;
                self.other_language |= !english;
                true
            }
            _ => false,
        }
    }
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// A number of exactly so many digits.
    fn digits(&mut self, count: usize) -> Option<i64> {
        let digits = self.rest().get(..count)?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        self.at += count;
        // Where single numbers are wanted, a longer one is none of them.
        let more = self.rest().bytes().next().is_some_and(|b| b.is_ascii_digit());
        if more && count == 1 {
            return None;
        }
        digits.parse().ok()
    }

    fn one_of(&mut self, set: &str) -> Option<char> {
        let c = self.rest().chars().next().filter(|c| set.contains(*c))?;
        self.at += 1;
        Some(c)
    }

    /// `08:01:59` with an optional fraction, or `080159` where that is allowed.
    fn time(&mut self, compact: bool) -> Option<i64> {
        let start = self.at;
        let read = |cursor: &mut Self| {
            let hour = cursor.digits(2)?;
            let colon = cursor.one_of(":");
            if colon.is_none() && !compact {
                return None;
            }
            let minute = cursor.digits(2)?;
            if colon.is_some() && cursor.one_of(":").is_none() {
                return None;
            }
            let second = cursor.digits(2)?;
            (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
        };
        let Some(time) = read(self) else {
            self.at = start;
            return None;
        };
        if matches!(self.rest().as_bytes(), [b'.' | b',', b'0'..=b'9', ..]) {
            self.at += 1;
            self.at += self.rest().bytes().take_while(u8::is_ascii_digit).count();
        }
        Some(time)
    }

    /// ` UTC`, `Z`, `+01:00`, ` -0500`, `CET`; spaces before it are part of it.
    fn zone(&mut self) -> Option<i64> {
        while self.one_of(" ").is_some() {}
        if let Some(sign) = self.one_of("+-") {
            let hours = self.digits(2)?;
            self.one_of(":");
            let minutes = self.digits(2)?;
            let east = hours * 3600 + minutes * 60;
            return (hours <= 14 && minutes < 60).then_some(if sign == '-' { -east } else { east });
        }
        let word = self.word();
        zone(word)
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn separators(&mut self, set: &str) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(|c| set.contains(c)).len();
    }
}

/// Days from 1970-01-01 to a date that there is (H. Hinnant, "chrono-compatible low-level date algorithms").
pub(super) fn day_number(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1970..2100).contains(&year) || !(1..=length).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// `2026-11-20 08:01:59 UTC`.
pub(super) fn written(seconds: i64) -> String {
    let days = seconds.div_euclid(DAY);
    let time = seconds.rem_euclid(DAY);
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", time / 3600, time / 60 % 60, time % 60)
}

pub(super) const DAY: i64 = 86_400;
const PLAIN: Style = Style { language: Language::English, half_days: false };

#[cfg(test)]
mod tests {
    use super::{at_start, written};

    #[test]
    fn one_instant_in_many_ways() {
        let ways = [
            "2026-11-20T08:01:59Z",
            "2026-11-20 08:01:59.123456 +0000",
            "2026-11-20T09:01:59+01:00",
            "Fri Nov 20 08:01:59 UTC 2026",
            "Fri Nov 20 08:01:59 AM UTC 2026",
            "Fr 20. Nov 09:01:59 CET 2026",
            "ven. 20 nov. 2026 08:01:59 UTC",
            "Fri, 20 Nov 2026 03:01:59 -0500",
            "20/Nov/2026:08:01:59 +0000",
            "20261120T080159Z",
        ];
        for way in ways {
            let (length, moment) = at_start(way).expect(way);
            assert_eq!(length, way.len(), "{way}");
            assert_eq!(moment.instant().map(written).as_deref(), Some("2026-11-20 08:01:59 UTC"), "{way}");
        }
    }

    #[test]
    fn what_is_no_moment() {
        for text in ["2026", "20261120", "12:30", "may 1", "2026-13-01", "Feb 30 2026", "1.2.3", "99:99:99"] {
            assert_eq!(at_start(text), None, "{text}");
        }
    }

    #[test]
    fn dates_alone_and_times_alone() {
        assert_eq!(at_start("Nov 20 2026").map(|(length, _)| length), Some(11));
        assert_eq!(at_start("2026-11-20, says").map(|(length, _)| length), Some(10));
        assert_eq!(at_start("08:01:59 x").and_then(|(_, moment)| moment.time), Some(28_919));
    }
}
