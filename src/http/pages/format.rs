//! How each language writes money, days and times. All times are those of the company's time zone.

use super::texts::Language;
use crate::domain::money::Money;
use crate::domain::time::{Period, Timestamp};
use jiff::Zoned;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

const KOREAN_WEEKDAYS: [&str; 7] = ["월", "화", "수", "목", "금", "토", "일"];
/// Currencies whose minor unit is the unit itself (ISO 4217).
const WHOLE: [&str; 16] =
    ["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF"];
/// Currencies with a thousand minor units.
const THOUSANDTHS: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];
const SYMBOLS: [(&str, &str); 5] = [("KRW", "₩"), ("USD", "$"), ("EUR", "€"), ("GBP", "£"), ("JPY", "¥")];

/// Writes for one reader, at one moment.
#[derive(Debug, Clone)]
pub struct Format {
    pub language: Language,
    zone: TimeZone,
    now: Timestamp,
}

impl Format {
    pub const fn new(language: Language, zone: TimeZone, now: Timestamp) -> Format {
        Format { language, zone, now }
    }

    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// An instant on the company's clock.
    pub fn local(&self, at: Timestamp) -> Zoned {
        jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or_default().to_zoned(self.zone.clone())
    }

    /// The instant of a day and time on the company's clock; of a time that there is twice the first, and of one that there
    /// is not the one after the gap.
    pub fn instant(&self, local: DateTime) -> Option<Timestamp> {
        let zoned = self.zone.to_ambiguous_zoned(local).compatible().ok()?;
        Timestamp::from_millis(zoned.timestamp().as_millisecond())
    }

    /// Such as `₩45,000` or `45,000원`.
    pub fn money(&self, money: Money) -> String {
        let amount = amount(money);
        let currency = money.currency();
        let symbol = SYMBOLS.iter().find(|(code, _)| *code == currency.code()).map(|(_, symbol)| *symbol);
        match (self.language, currency.code(), symbol) {
            (Language::Korean, "KRW", _) => format!("{amount}원"),
            (_, _, Some(symbol)) => format!("{symbol}{amount}"),
            (_, code, None) => format!("{code} {amount}"),
        }
    }

    /// A day that is stored as `20260301` for 1 March 2026; none that there is not.
    pub fn date(&self, stored: u32) -> Option<String> {
        let [year, month, day] = [stored / 10_000, stored / 100 % 100, stored % 100];
        let date = Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
        let written = match self.language {
            Language::English => date.strftime("%-d %B %Y").to_string(),
            Language::Korean => date.strftime("%Y년 %-m월 %-d일").to_string(),
        };
        Some(unbroken(&written))
    }

    /// The time zone in which all times are, such as `Seoul (UTC+9)`.
    pub fn zone(&self) -> String {
        let minutes = self.zone.to_offset(self.local(self.now).timestamp()).seconds() / 60;
        let (sign, hours, rest) = (if minutes < 0 { '−' } else { '+' }, minutes.abs() / 60, minutes.abs() % 60);
        let offset = if rest == 0 { format!("UTC{sign}{hours}") } else { format!("UTC{sign}{hours}:{rest:02}") };
        match (self.zone.iana_name().and_then(|name| name.rsplit_once('/')), self.language) {
            (Some((_, "Seoul")), Language::Korean) => format!("서울({offset})"),
            // The name of a city stands behind that of a continent.
            (Some((_, city)), Language::English | Language::Korean) => format!("{} ({offset})", city.replace('_', " ")),
            (None, _) => offset,
        }
    }

    /// A whole number, such as `42,000`.
    pub fn whole(number: u32) -> String {
        grouped(&number.to_string())
    }

    /// A day, such as `Mon 30 Nov` or `11월 30일 (월)`; with the year unless it is the present one.
    pub fn day(&self, at: Timestamp) -> String {
        self.day_of(&self.local(at))
    }

    fn day_of(&self, local: &Zoned) -> String {
        let this_year = local.year() == self.local(self.now).year();
        let written = match self.language {
            Language::English if this_year => local.strftime("%a %-d %b").to_string(),
            Language::English => local.strftime("%a %-d %b %Y").to_string(),
            Language::Korean => {
                let year = if this_year { String::new() } else { format!("{}년 ", local.year()) };
                format!("{year}{}월 {}일 ({})", local.month(), local.day(), self.weekday(local.date()))
            }
        };
        unbroken(&written)
    }

    /// Such as `Mon` or `월`.
    pub fn weekday(&self, date: Date) -> String {
        match self.language {
            Language::English => date.strftime("%a").to_string(),
            Language::Korean => {
                let weekday = usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or(0);
                KOREAN_WEEKDAYS[weekday % 7].to_owned()
            }
        }
    }

    /// Such as `November 2026` or `2026년 11월`.
    pub fn month(&self, date: Date) -> String {
        match self.language {
            Language::English => date.strftime("%B %Y").to_string(),
            Language::Korean => format!("{}년 {}월", date.year(), date.month()),
        }
    }

    /// Such as `14:30`.
    pub fn time(&self, at: Timestamp) -> String {
        self.local(at).strftime("%H:%M").to_string()
    }

    /// Day and time, which stay on one line.
    pub fn moment(&self, at: Timestamp) -> String {
        self.moment_as(at, "%H:%M")
    }

    /// The same with seconds.
    pub fn exact_moment(&self, at: Timestamp) -> String {
        self.moment_as(at, "%H:%M:%S")
    }

    fn moment_as(&self, at: Timestamp, time: &str) -> String {
        let local = self.local(at);
        let between = match self.language {
            Language::English => ",\u{a0}",
            Language::Korean => "\u{a0}",
        };
        [&self.day_of(&local), between, &local.strftime(time).to_string()].concat()
    }

    /// From one moment to another; the second without the day if it is the same one. A line breaks only between the two.
    pub fn period(&self, period: Period) -> String {
        let (from, to) = (self.local(period.from()), self.local(period.to()));
        let until = if from.date() == to.date() { self.time(period.to()) } else { self.moment(period.to()) };
        format!("{}\u{a0}– {until}", self.moment(period.from()))
    }

    /// The same in few characters: without weekdays and years.
    pub fn short_period(&self, period: Period) -> String {
        let [from, to] = [period.from(), period.to()].map(|at| self.local(at));
        let short = |local: &Zoned| match self.language {
            Language::English => local.strftime("%-d %b %H:%M").to_string(),
            Language::Korean => local.strftime("%-m월 %-d일 %H:%M").to_string(),
        };
        let until = if from.date() == to.date() { self.time(period.to()) } else { short(&to) };
        format!("{} – {until}", short(&from))
    }

    /// For a machine, in `<time datetime>`.
    pub fn machine(at: Timestamp) -> String {
        jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or_default().to_string()
    }
}

/// What stays on one line.
fn unbroken(text: &str) -> String {
    text.replace(' ', "\u{a0}")
}

/// How many digits of an amount are behind the point.
pub fn decimals(code: &str) -> usize {
    match () {
        () if WHOLE.contains(&code) => 0,
        () if THOUSANDTHS.contains(&code) => 3,
        () => 2,
    }
}

/// The amount in units of the currency, with commas between thousands.
fn amount(money: Money) -> String {
    let decimals = decimals(money.currency().code());
    let digits = format!("{:0>width$}", money.amount(), width = decimals + 1);
    let (whole, part) = digits.split_at(digits.len() - decimals);
    let whole = grouped(whole);
    if part.is_empty() { whole } else { [&whole, ".", part].concat() }
}

/// Digits with commas between thousands.
fn grouped(digits: &str) -> String {
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Currency;

    fn format(language: Language) -> Format {
        let now = Timestamp::from_millis(1_795_996_800_000).expect("30 November 2026");
        Format::new(language, TimeZone::get("Asia/Seoul").expect("Seoul"), now)
    }

    fn money(amount: u64, code: &str) -> Money {
        Money::new(amount, Currency::parse(code).expect("a code")).expect("within bounds")
    }

    #[test]
    fn money_is_written_as_each_language_does() {
        let (english, korean) = (format(Language::English), format(Language::Korean));
        for (amount, code, in_english, in_korean) in [
            (45_000, "KRW", "₩45,000", "45,000원"),
            (999, "KRW", "₩999", "999원"),
            (1_234_567, "KRW", "₩1,234,567", "1,234,567원"),
            (123_456, "EUR", "€1,234.56", "€1,234.56"),
            (5, "USD", "$0.05", "$0.05"),
            (1_005, "KWD", "KWD 1.005", "KWD 1.005"),
            (0, "CHF", "CHF 0.00", "CHF 0.00"),
        ] {
            let money = money(amount, code);
            assert_eq!((&*english.money(money), &*korean.money(money)), (in_english, in_korean));
        }
    }

    #[test]
    fn days_and_times_are_written_as_each_language_does() {
        let (english, korean) = (format(Language::English), format(Language::Korean));
        let at = |text: &str| english.instant(text.parse().expect("a time")).expect("an instant");
        let (from, to) = (at("2026-12-31T09:05:00"), at("2027-01-02T18:00:00"));
        let plain = |text: String| text.replace('\u{a0}', " ");
        assert_eq!(english.moment(from), "Thu\u{a0}31\u{a0}Dec,\u{a0}09:05");
        assert_eq!(plain(korean.moment(from)), "12월 31일 (목) 09:05");
        assert_eq!(plain(english.exact_moment(from)), "Thu 31 Dec, 09:05:00");
        let period = Period::new(from, to).expect("a period");
        assert_eq!(plain(english.period(period)), "Thu 31 Dec, 09:05 – Sat 2 Jan 2027, 18:00");
        assert_eq!(plain(korean.period(period)), "12월 31일 (목) 09:05 – 2027년 1월 2일 (토) 18:00");
        for text in [english.period(period), korean.period(period)] {
            assert_eq!(text.matches(' ').count(), 1, "a line breaks in one place: {text}");
        }
        assert_eq!(english.short_period(period), "31 Dec 09:05 – 2 Jan 18:00");
        assert_eq!(korean.short_period(period), "12월 31일 09:05 – 1월 2일 18:00");
        let day: Date = "2026-11-01".parse().expect("a day");
        assert_eq!((&*english.weekday(day), &*korean.weekday(day)), ("Sun", "일"));
        assert_eq!((&*english.month(day), &*korean.month(day)), ("November 2026", "2026년 11월"));
        let hours = Period::new(from, at("2026-12-31T12:00:00")).expect("a period");
        assert_eq!(plain(english.period(hours)), "Thu 31 Dec, 09:05 – 12:00");
        let dates = [english.date(20_250_302), korean.date(20_250_302)].map(|date| date.map(plain));
        assert_eq!(dates, [Some("2 March 2025".to_owned()), Some("2025년 3월 2일".to_owned())]);
        assert_eq!((english.date(0), &*english.zone()), (None, "Seoul (UTC+9)"));
    }
}
