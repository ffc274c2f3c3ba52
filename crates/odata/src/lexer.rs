//! Characters to tokens.

use crate::{Error, Literal};
use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, Utc};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// A name or keyword.
    Word(String),
    Literal(Literal),
    Open,
    Close,
    Comma,
    Slash,
    Colon,
}

/// A token and its position in characters, from 1.
#[derive(Clone, Debug)]
pub(crate) struct At {
    pub token: Token,
    pub position: usize,
}

fn error(position: usize, message: impl Into<String>) -> Error {
    Error {
        position,
        message: message.into(),
    }
}

pub(crate) fn tokens(text: &str) -> Result<Vec<At>, Error> {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let position = at + 1;
        let token = match c {
            c if c.is_whitespace() => {
                at += 1;
                continue;
            }
            '(' => Token::Open,
            ')' => Token::Close,
            ',' => Token::Comma,
            '/' => Token::Slash,
            ':' => Token::Colon,
            '\'' => {
                let (text, after) = quoted(&chars, at)?;
                at = after;
                out.push(At {
                    token: Token::Literal(Literal::Text(text)),
                    position,
                });
                continue;
            }
            c if c.is_ascii_digit() || c == '-' || c == '+' => {
                let end = end_of(&chars, at, |c| {
                    c.is_ascii_alphanumeric() || "-+.:".contains(c)
                });
                let text: String = chars[at..end].iter().collect();
                at = end;
                out.push(At {
                    token: Token::Literal(number_or_time(&text, position)?),
                    position,
                });
                continue;
            }
            c if c.is_alphabetic() || c == '_' || c == '$' => {
                let end = end_of(&chars, at, |c| c.is_alphanumeric() || "_$-.".contains(c));
                let word: String = chars[at..end].iter().collect();
                let is_time = word.eq_ignore_ascii_case("datetime")
                    || word.eq_ignore_ascii_case("datetimeoffset");
                if is_time && chars.get(end) == Some(&'\'') {
                    let (text, after) = quoted(&chars, end)?;
                    let time = time(&text).ok_or_else(|| {
                        error(
                            position,
                            format!("'{text}' is not a time such as 2017-06-01T00:00:00"),
                        )
                    })?;
                    at = after;
                    out.push(At {
                        token: Token::Literal(Literal::DateTime(time)),
                        position,
                    });
                    continue;
                }
                at = end;
                out.push(At {
                    token: Token::Word(word),
                    position,
                });
                continue;
            }
            other => return Err(error(position, format!("unexpected character '{other}'"))),
        };
        out.push(At { token, position });
        at += 1;
    }
    Ok(out)
}

fn end_of(chars: &[char], from: usize, inside: impl Fn(char) -> bool) -> usize {
    chars[from + 1..]
        .iter()
        .position(|c| !inside(*c))
        .map_or(chars.len(), |length| from + 1 + length)
}

/// The text after the quote at `at`, and the place after its closing quote; `''` stands for one quote.
fn quoted(chars: &[char], at: usize) -> Result<(String, usize), Error> {
    let mut out = String::new();
    let mut next = at + 1;
    loop {
        match (chars.get(next), chars.get(next + 1)) {
            (None, _) => return Err(error(at + 1, "the text has no closing quote")),
            (Some('\''), Some('\'')) => {
                out.push('\'');
                next += 2;
            }
            (Some('\''), _) => return Ok((out, next + 1)),
            (Some(c), _) => {
                out.push(*c);
                next += 1;
            }
        }
    }
}

fn number_or_time(text: &str, position: usize) -> Result<Literal, Error> {
    if let Some(number) = text.parse::<f64>().ok().filter(|n| n.is_finite()) {
        return Ok(Literal::Number(number));
    }
    time(text).map(Literal::DateTime).ok_or_else(|| {
        error(
            position,
            format!("'{text}' is neither a number nor a time such as 2017-06-01T00:00:00Z"),
        )
    })
}

/// Times without an offset are UTC. Years are those of ISO 8601 without signs, which databases hold too.
fn time(text: &str) -> Option<DateTime<Utc>> {
    instant(text).filter(|time| (1..=9999).contains(&time.year()))
}

fn instant(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    let local = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(local, format) {
            return Some(time.and_utc());
        }
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc())
}
