use minijinja::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

/// A day, for the templates that tell the model what day it is. This crate has no clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Date {
    /// The year, such as 2026.
    pub year: u16,
    /// 1 for January.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Date {
    /// As Python's `strftime`, for the codes that say a day.
    pub(super) fn format(self, format: &str) -> Result<String, Error> {
        let mut text = String::new();
        let mut rest = format.chars();
        while let Some(c) = rest.next() {
            if c != '%' {
                text.push(c);
                continue;
            }
            let month = MONTHS.get(usize::from(self.month).wrapping_sub(1)).copied();
            let month = month.unwrap_or_default();
            text += &match rest.next() {
                Some('d') => format!("{:02}", self.day),
                Some('m') => format!("{:02}", self.month),
                Some('Y') => self.year.to_string(),
                Some('y') => format!("{:02}", self.year % 100),
                Some('B') => month.to_owned(),
                Some('b') => month.chars().take(3).collect(),
                Some('%') => "%".to_owned(),
                code => {
                    let message = format!("strftime_now knows no {code:?}");
                    return Err(Error::new(ErrorKind::InvalidOperation, message));
                }
            };
        }
        Ok(text)
    }
}
