//! What each member of the table does.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::super::data::{Captured, Jwt, time_span_text};
use super::*;

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

fn index(value: &Data) -> Option<usize> {
    match value {
        Data::Int(value) => usize::try_from(*value).ok(),
        _ => None,
    }
}

fn ignores_case(comparison: &Data) -> bool {
    comparison.to_text().ends_with("IgnoreCase")
}

fn char_at(text: &str, at: usize) -> Option<usize> {
    text.char_indices()
        .map(|(at, _)| at)
        .chain([text.len()])
        .nth(at)
}

fn chars_before(text: &str, at: Option<usize>) -> Data {
    Data::Int(at.map_or(-1, |at| text[..at].chars().count() as i64))
}

fn blank(values: &[Data]) -> Vec<char> {
    let chars: Vec<char> = values
        .iter()
        .filter_map(|value| {
            if let Data::Char(c) = value {
                Some(*c)
            } else {
                None
            }
        })
        .collect();
    if chars.is_empty() {
        vec![' ', '\t', '\r', '\n']
    } else {
        chars
    }
}

fn jwt_of(text: &str) -> Option<Jwt> {
    let text = text.trim();
    let encoded = if text
        .get(..7)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer "))
    {
        text[7..].trim()
    } else {
        text
    };
    let mut parts = encoded.split('.');
    let mut object = || {
        let bytes = URL_SAFE_NO_PAD
            .decode(parts.next()?.trim_end_matches('='))
            .ok()?;
        serde_json::from_slice::<serde_json::Value>(&bytes)
            .ok()
            .filter(serde_json::Value::is_object)
    };
    let header = object()?;
    let payload = object()?;
    parts.next()?;
    Some(Jwt {
        header,
        payload,
        encoded: encoded.to_owned(),
    })
}

fn claim_values(value: &serde_json::Value) -> Vec<Data> {
    match value {
        serde_json::Value::Array(items) => items.iter().flat_map(claim_values).collect(),
        serde_json::Value::String(text) => vec![Data::from(text.as_str())],
        serde_json::Value::Null => Vec::new(),
        other => vec![Data::from(other.to_string())],
    }
}

impl Machine<'_> {
    #[inline(never)]
    pub(super) fn member(
        &mut self,
        op: Op,
        receiver: Data,
        nodes: &[Node],
        ty: &Type,
        node: &Node,
    ) -> Eval<Data> {
        match op {
            Op::Field(field) => {
                return match receiver {
                    Data::Null => self.null(),
                    _ => Ok(self.context.field(field)),
                };
            }
            Op::Part(part) => {
                return match receiver {
                    Data::Null => self.null(),
                    _ if self.context.has(part) => Ok(Data::Part(part)),
                    _ => Ok(Data::Null),
                };
            }
            Op::Map(map) => {
                return if matches!(receiver, Data::Null) {
                    self.null()
                } else {
                    Ok(Data::Map(map))
                };
            }
            Op::Body(side) => {
                return if matches!(receiver, Data::Null) {
                    self.null()
                } else {
                    Ok(Data::Body(side))
                };
            }
            Op::Variables => return Ok(Data::Variables),
            _ => {}
        }
        if nodes
            .iter()
            .any(|node| matches!(node.code, Code::Lambda(..)))
        {
            return self.with_lambda(op, &receiver, nodes);
        }
        let mut values = Vec::with_capacity(nodes.len());
        for node in nodes {
            values.push(self.eval(node)?);
        }
        self.at = node.at;
        match receiver {
            Data::String(text) => self.text_member(op, &text, &values, ty),
            Data::DateTime(time) => self.time_member(op, time, &values),
            Data::Null => self.static_member(op, &values, ty),
            receiver => self.object_member(op, &receiver, &values, ty),
        }
    }

    #[inline(never)]
    fn with_lambda(&mut self, op: Op, receiver: &Data, nodes: &[Node]) -> Eval<Data> {
        let items = self.items(receiver)?;
        let lambda = &nodes[0];
        match op {
            Op::Where => {
                let mut kept = Vec::new();
                for item in items {
                    if self.holds(lambda, &item)? {
                        kept.push(item);
                    }
                }
                self.list(kept)
            }
            Op::Select => {
                let mut results = Vec::with_capacity(items.len());
                for item in items {
                    results.push(self.call(lambda, &[item])?);
                }
                self.list(results)
            }
            Op::SelectMany => {
                let mut results = Vec::new();
                for item in items {
                    let inner = self.call(lambda, &[item])?;
                    results.extend(self.items(&inner)?);
                }
                self.list(results)
            }
            Op::AnyThat | Op::All | Op::CountThat => {
                let mut count = 0;
                let total = items.len();
                for item in items {
                    let holds = self.holds(lambda, &item)?;
                    if holds && op == Op::AnyThat {
                        return Ok(Data::Bool(true));
                    }
                    count += usize::from(holds);
                }
                Ok(match op {
                    Op::AnyThat => Data::Bool(false),
                    Op::All => Data::Bool(count == total),
                    _ => Data::Int(count as i64),
                })
            }
            Op::FirstThat | Op::FirstOrDefaultThat => {
                for item in items {
                    if self.holds(lambda, &item)? {
                        return Ok(item);
                    }
                }
                if op == Op::FirstThat {
                    self.fail("Sequence contains no matching element.")
                } else {
                    Ok(Data::Null)
                }
            }
            Op::OrderBy | Op::OrderByDescending => {
                let mut keyed = Vec::with_capacity(items.len());
                for item in items {
                    keyed.push((self.call(lambda, std::slice::from_ref(&item))?, item));
                }
                keyed.sort_by(|a, b| {
                    let order = compare(&a.0, &b.0);
                    if op == Op::OrderBy {
                        order
                    } else {
                        order.reverse()
                    }
                });
                self.list(keyed.into_iter().map(|(_, item)| item).collect())
            }
            Op::SumOf => {
                let mut sum = Data::Int(0);
                for item in items {
                    let value = self.call(lambda, &[item])?;
                    sum = self.binary(Bin::Add, sum, value)?;
                }
                Ok(sum)
            }
            Op::Aggregate => {
                let mut items = items.into_iter();
                let Some(mut all) = items.next() else {
                    return self.fail("Sequence contains no elements.");
                };
                for item in items {
                    all = self.call(lambda, &[all, item])?;
                }
                Ok(all)
            }
            Op::ToDictionary => {
                let dictionary = Data::Dictionary(Shared::new(Vec::new()));
                for item in items {
                    let key = self.call(lambda, std::slice::from_ref(&item))?;
                    let value = self.call(&nodes[1], &[item])?;
                    self.set_index(&dictionary, &key, value)?;
                }
                Ok(dictionary)
            }
            _ => self.fail("This member takes no lambda."),
        }
    }

    #[inline(never)]
    fn text_member(&mut self, op: Op, text: &str, values: &[Data], ty: &Type) -> Eval<Data> {
        self.burn(text.len() / 64)?;
        let first = values.first().map(Data::to_text).unwrap_or_default();
        let at = |machine: &Self, which: usize| match values.get(which).and_then(index) {
            Some(at) => Ok(at),
            None => machine.fail("The position must not be negative."),
        };
        Ok(match op {
            Op::ToText => Data::from(text),
            Op::Length => Data::Int(text.chars().count() as i64),
            Op::Contains => Data::Bool(text.contains(&first)),
            Op::StartsWith => Data::Bool(text.starts_with(&first)),
            Op::EndsWith => Data::Bool(text.ends_with(&first)),
            Op::Equal => Data::Bool(equal(&Data::from(text), &values[0])),
            Op::ContainsComparing
            | Op::StartsWithComparing
            | Op::EndsWithComparing
            | Op::EqualsComparing => {
                let (text, part) = if ignores_case(&values[values.len() - 1]) {
                    (text.to_lowercase(), first.to_lowercase())
                } else {
                    (text.to_owned(), first)
                };
                Data::Bool(match op {
                    Op::ContainsComparing => text.contains(&part),
                    Op::StartsWithComparing => text.starts_with(&part),
                    Op::EndsWithComparing => text.ends_with(&part),
                    _ => text == part,
                })
            }
            Op::IndexOf => chars_before(text, text.find(&first)),
            Op::LastIndexOf => chars_before(text, text.rfind(&first)),
            Op::IndexOfFrom => match char_at(text, at(self, 1)?) {
                Some(start) => {
                    chars_before(text, text[start..].find(&first).map(|found| found + start))
                }
                None => return self.fail("The position is behind the end of the text."),
            },
            Op::Substring | Op::Remove => {
                let Some(start) = char_at(text, at(self, 0)?) else {
                    return self.fail("The position is behind the end of the text.");
                };
                if op == Op::Substring {
                    self.text(&text[start..])?
                } else {
                    self.text(&text[..start])?
                }
            }
            Op::SubstringLength | Op::RemoveCount => {
                let start = char_at(text, at(self, 0)?);
                let end = at(self, 0)?
                    .checked_add(at(self, 1)?)
                    .and_then(|end| char_at(text, end));
                let (Some(start), Some(end)) = (start, end) else {
                    return self.fail("Position and length must refer to a place within the text.");
                };
                if op == Op::SubstringLength {
                    self.text(&text[start..end])?
                } else {
                    self.text(format!("{}{}", &text[..start], &text[end..]))?
                }
            }
            Op::Insert => {
                let Some(start) = char_at(text, at(self, 0)?) else {
                    return self.fail("The position is behind the end of the text.");
                };
                self.text(format!(
                    "{}{}{}",
                    &text[..start],
                    values[1].to_text(),
                    &text[start..]
                ))?
            }
            Op::Replace => {
                if first.is_empty() {
                    return self.fail("The text to replace must not be empty.");
                }
                let by = values[1].to_text();
                self.charge(text.matches(&first).count().saturating_mul(by.len()))?;
                self.text(text.replace(&first, &by))?
            }
            Op::ToLower => self.text(text.to_lowercase())?,
            Op::ToUpper => self.text(text.to_uppercase())?,
            Op::Trim => self.text(text.trim())?,
            Op::TrimChars => self.text(text.trim_matches(blank(values).as_slice()))?,
            Op::TrimStart => self.text(text.trim_start_matches(blank(values).as_slice()))?,
            Op::TrimEnd => self.text(text.trim_end_matches(blank(values).as_slice()))?,
            Op::Split | Op::SplitRemoveEmpty => {
                let count = if op == Op::SplitRemoveEmpty {
                    1
                } else {
                    values.len()
                };
                let mut separators = Vec::new();
                for value in &values[..count] {
                    match value {
                        Data::List(_) => {
                            separators.extend(self.items(value)?.iter().map(Data::to_text))
                        }
                        other => separators.push(other.to_text()),
                    }
                }
                separators.retain(|separator| !separator.is_empty());
                if separators.is_empty() {
                    separators.extend([
                        " ".to_owned(),
                        "\t".to_owned(),
                        "\n".to_owned(),
                        "\r".to_owned(),
                    ]);
                }
                let remove = op == Op::SplitRemoveEmpty
                    && values[values.len() - 1].to_text() == "RemoveEmptyEntries";
                let mut parts = Vec::new();
                let mut start = 0;
                let mut i = 0;
                while i <= text.len() {
                    let separator = separators
                        .iter()
                        .find(|separator| text.as_bytes()[i..].starts_with(separator.as_bytes()));
                    if i == text.len() || separator.is_some() {
                        parts.push(&text[start..i]);
                        start = i + separator.map_or(1, String::len);
                        i = start;
                    } else {
                        i += 1;
                    }
                }
                self.burn(text.len() / 8)?;
                let items = parts
                    .into_iter()
                    .filter(|part| !remove || !part.is_empty())
                    .map(Data::from)
                    .collect();
                self.list(items)?
            }
            Op::PadLeft | Op::PadLeftWith | Op::PadRight | Op::PadRightWith => {
                let missing = at(self, 0)?.saturating_sub(text.chars().count());
                self.charge(missing.saturating_mul(4))?;
                let c = if let Some(Data::Char(c)) = values.get(1) {
                    *c
                } else {
                    ' '
                };
                let pad: String = std::iter::repeat_n(c, missing).collect();
                if matches!(op, Op::PadLeft | Op::PadLeftWith) {
                    self.text(pad + text)?
                } else {
                    self.text(text.to_owned() + &pad)?
                }
            }
            Op::ToCharArray => self.list(text.chars().map(Data::Char).collect())?,
            Op::CompareTo => Data::Int(text.cmp(first.as_str()) as i64),
            Op::AsJwt => jwt_of(text).map_or(Data::Null, |jwt| Data::Jwt(Arc::new(jwt))),
            Op::AsBasic => {
                let decoded = text
                    .strip_prefix("Basic ")
                    .and_then(|rest| STANDARD.decode(rest.trim()).ok())
                    .and_then(|bytes| String::from_utf8(bytes).ok());
                match decoded.as_deref().and_then(|text| text.split_once(':')) {
                    Some((user, password)) => {
                        Data::Basic(Arc::new((user.to_owned(), password.to_owned())))
                    }
                    None => Data::Null,
                }
            }
            _ => return self.object_member(op, &Data::from(text), values, ty),
        })
    }

    #[inline(never)]
    fn time_member(&mut self, op: Op, time: DateTime<Utc>, values: &[Data]) -> Eval<Data> {
        let amount = values.first().and_then(number).unwrap_or(0.0);
        let whole = if let Some(Data::Int(value)) = values.first() {
            *value
        } else {
            0
        };
        let added = match op {
            Op::AddMilliseconds => add_double(time, amount, 0.001),
            Op::AddSeconds => add_double(time, amount, 1.0),
            Op::AddMinutes => add_double(time, amount, 60.0),
            Op::AddHours => add_double(time, amount, 3600.0),
            Op::AddDays => add_double(time, amount, 86_400.0),
            Op::AddMonths => months(time, whole),
            Op::AddYears => whole.checked_mul(12).and_then(|count| months(time, count)),
            Op::AddSpan => return self.binary(Bin::Add, Data::DateTime(time), values[0].clone()),
            Op::SubtractTime | Op::SubtractSpan => {
                return self.binary(Bin::Subtract, Data::DateTime(time), values[0].clone());
            }
            _ => {
                return Ok(match op {
                    Op::ToText => Data::from(Data::DateTime(time).to_text()),
                    Op::ToTextFormat => {
                        let text = net_time(time, &values[0].to_text());
                        self.text(text)?
                    }
                    Op::ToUniversal => Data::DateTime(time),
                    Op::Equal => Data::Bool(equal(&Data::DateTime(time), &values[0])),
                    Op::UnixSeconds => Data::Int(time.timestamp()),
                    Op::UnixMilliseconds => Data::Int(time.timestamp_millis()),
                    Op::Year => Data::Int(i64::from(time.year())),
                    Op::Month => Data::Int(i64::from(time.month())),
                    Op::Day => Data::Int(i64::from(time.day())),
                    Op::Hour => Data::Int(i64::from(time.hour())),
                    Op::Minute => Data::Int(i64::from(time.minute())),
                    Op::Second => Data::Int(i64::from(time.second())),
                    Op::Millisecond => Data::Int(i64::from(time.timestamp_subsec_millis())),
                    Op::DayOfYear => Data::Int(i64::from(time.ordinal())),
                    Op::DayOfWeek => Data::from(time.format("%A").to_string()),
                    Op::Date => {
                        Data::DateTime(time.date_naive().and_time(chrono::NaiveTime::MIN).and_utc())
                    }
                    Op::TimeOfDay => Data::TimeSpan(time.time() - chrono::NaiveTime::MIN),
                    // 100 ns since the year 1.
                    Op::Ticks => {
                        return self.int(
                            (time.timestamp() + 62_135_596_800)
                                .checked_mul(10_000_000)
                                .and_then(|ticks| {
                                    ticks
                                        .checked_add(i64::from(time.timestamp_subsec_nanos() / 100))
                                }),
                        );
                    }
                    _ => return self.fail("A time has no such member."),
                });
            }
        };
        match added {
            Some(time) => Ok(Data::DateTime(time)),
            None => self.fail("The time is out of range."),
        }
    }

    #[inline(never)]
    fn static_member(&mut self, op: Op, values: &[Data], ty: &Type) -> Eval<Data> {
        let text = |at: usize| values.get(at).map(Data::to_text).unwrap_or_default();
        let a = values.first().and_then(number);
        let b = values.get(1).and_then(number);
        Ok(match op {
            Op::EmptyText => Data::from(""),
            Op::IsNullOrEmpty => Data::Bool(text(0).is_empty()),
            Op::IsNullOrWhiteSpace => Data::Bool(text(0).trim().is_empty()),
            Op::Join => {
                let items = match values.get(1) {
                    Some(Data::String(_)) | None => values.get(1..).unwrap_or_default().to_vec(),
                    Some(list)
                        if values.len() == 2
                            && matches!(list, Data::List(_) | Data::Json(Json::Array(_))) =>
                    {
                        self.items(list)?
                    }
                    Some(_) => values[1..].to_vec(),
                };
                let joined = items
                    .iter()
                    .map(Data::to_text)
                    .collect::<Vec<_>>()
                    .join(&text(0));
                self.text(joined)?
            }
            Op::Concat => {
                let joined: String = values.iter().map(Data::to_text).collect();
                self.text(joined)?
            }
            Op::Format => {
                let composed = self.compose(&text(0), &values[1..])?;
                self.text(composed)?
            }
            Op::Compare => Data::Int(text(0).cmp(&text(1)) as i64),
            Op::Same => Data::Bool(equal(&values[0], &values[1])),
            Op::EqualsComparing => Data::Bool(if ignores_case(&values[2]) {
                text(0).to_lowercase() == text(1).to_lowercase()
            } else {
                text(0) == text(1)
            }),
            Op::ToText if values.is_empty() => return self.null(),
            Op::ToText => Data::from(text(0)),
            Op::ParseInt | Op::ToInt => {
                let parsed = match &values[0] {
                    Data::Bool(value) => Some(i64::from(*value)),
                    Data::Int(value) => Some(*value),
                    Data::Double(value) => Some(value.round_ties_even() as i64),
                    Data::Null if op == Op::ToInt => Some(0),
                    other => other.to_text().trim().parse().ok(),
                };
                return match parsed {
                    Some(value) => Ok(Data::Int(value)),
                    None => self.fail("Input string was not in a correct format."),
                };
            }
            Op::ParseDouble | Op::ToDouble => match a.or_else(|| text(0).trim().parse().ok()) {
                Some(value) => Data::Double(value),
                None => return self.fail("Input string was not in a correct format."),
            },
            Op::ParseBool | Op::ToBool => {
                match (&values[0], text(0).trim().to_ascii_lowercase().parse()) {
                    (Data::Int(value), _) => Data::Bool(*value != 0),
                    (_, Ok(value)) => Data::Bool(value),
                    (Data::Null, _) if op == Op::ToBool => Data::Bool(false),
                    _ => return self.fail("String was not recognized as a valid Boolean."),
                }
            }
            Op::ParseDateTime => match parse_time(&text(0)) {
                Some(time) => Data::DateTime(time),
                None => return self.fail("String was not recognized as a valid DateTime."),
            },
            Op::ParseGuid => match parse_guid(&text(0)) {
                Some(guid) => Data::Guid(guid),
                None => return self.fail("Unrecognized Guid format."),
            },
            Op::NewGuid => {
                let bits = (u128::from(self.context.random_bits()) << 64)
                    | u128::from(self.context.random_bits());
                // Version 4, variant 1 (RFC 9562).
                Data::Guid((bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62))
            }
            Op::EmptyGuid => Data::Guid(0),
            Op::IsDigit
            | Op::IsLetter
            | Op::IsLetterOrDigit
            | Op::IsWhiteSpace
            | Op::IsUpper
            | Op::IsLower
            | Op::CharLower
            | Op::CharUpper => {
                let Some(Data::Char(c)) = values.first() else {
                    return self.null();
                };
                match op {
                    Op::IsDigit => Data::Bool(c.is_numeric()),
                    Op::IsLetter => Data::Bool(c.is_alphabetic()),
                    Op::IsLetterOrDigit => Data::Bool(c.is_alphanumeric()),
                    Op::IsWhiteSpace => Data::Bool(c.is_whitespace()),
                    Op::IsUpper => Data::Bool(c.is_uppercase()),
                    Op::IsLower => Data::Bool(c.is_lowercase()),
                    Op::CharLower => Data::Char(c.to_lowercase().next().unwrap_or(*c)),
                    _ => Data::Char(c.to_uppercase().next().unwrap_or(*c)),
                }
            }
            Op::Now => Data::DateTime(self.context.now()),
            Op::Today => return self.time_member(Op::Date, self.context.now(), &[]),
            Op::FromUnixSeconds => match values
                .first()
                .and_then(number)
                .and_then(|seconds| unix_time(seconds as i64))
            {
                Some(time) => Data::DateTime(time),
                None => return self.fail("The time is out of range."),
            },
            Op::FromMilliseconds
            | Op::FromSeconds
            | Op::FromMinutes
            | Op::FromHours
            | Op::FromDays => {
                let unit = match op {
                    Op::FromMilliseconds => 0.001,
                    Op::FromSeconds => 1.0,
                    Op::FromMinutes => 60.0,
                    Op::FromHours => 3600.0,
                    _ => 86_400.0,
                };
                match a.and_then(|amount| span(amount, unit)) {
                    Some(span) => Data::TimeSpan(span),
                    None => return self.fail("The time span is out of range."),
                }
            }
            Op::Abs | Op::Min | Op::Max => match (op, values) {
                (Op::Abs, [Data::Int(value)]) => return self.int(value.checked_abs()),
                (Op::Min, [Data::Int(a), Data::Int(b)]) => Data::Int(*a.min(b)),
                (Op::Max, [Data::Int(a), Data::Int(b)]) => Data::Int(*a.max(b)),
                _ => match (a, b) {
                    (Some(a), None) => Data::Double(a.abs()),
                    (Some(a), Some(b)) => {
                        Data::Double(if op == Op::Min { a.min(b) } else { a.max(b) })
                    }
                    _ => return self.null(),
                },
            },
            Op::Round
            | Op::RoundDigits
            | Op::Floor
            | Op::Ceiling
            | Op::Truncate
            | Op::Sqrt
            | Op::Pow => {
                let Some(a) = a else { return self.null() };
                Data::Double(match op {
                    Op::Round => a.round_ties_even(),
                    Op::RoundDigits => {
                        let scale = 10_f64.powi(b.unwrap_or(0.0).clamp(0.0, 15.0) as i32);
                        (a * scale).round_ties_even() / scale
                    }
                    Op::Floor => a.floor(),
                    Op::Ceiling => a.ceil(),
                    Op::Truncate => a.trunc(),
                    Op::Sqrt => a.sqrt(),
                    _ => a.powf(b.unwrap_or(f64::NAN)),
                })
            }
            Op::ToBase64 => match values.first() {
                Some(Data::Bytes(bytes)) => {
                    let encoded = STANDARD.encode(bytes);
                    self.text(encoded)?
                }
                _ => return self.null(),
            },
            Op::FromBase64 => match STANDARD.decode(text(0).trim()) {
                Ok(bytes) => {
                    self.charge(bytes.len())?;
                    Data::Bytes(bytes.into())
                }
                Err(_) => return self.fail("The input is not a valid Base-64 string."),
            },
            Op::GetBytes => match values.first() {
                Some(Data::String(text)) => {
                    self.charge(text.len())?;
                    Data::Bytes(text.as_bytes().into())
                }
                _ => return self.null(),
            },
            Op::GetString => match values.first() {
                Some(Data::Bytes(bytes)) => {
                    let decoded = String::from_utf8_lossy(bytes).into_owned();
                    self.text(decoded)?
                }
                _ => return self.null(),
            },
            Op::EscapeData => {
                let escaped = utf8_percent_encode(&text(0), RESERVED).to_string();
                self.text(escaped)?
            }
            Op::UnescapeData => {
                let decoded = percent_decode_str(&text(0))
                    .decode_utf8_lossy()
                    .into_owned();
                self.text(decoded)?
            }
            Op::HtmlEncode => {
                let encoded = text(0)
                    .replace('&', "&amp;")
                    .replace('<', "&lt;")
                    .replace('>', "&gt;")
                    .replace('"', "&quot;")
                    .replace('\'', "&#39;");
                self.text(encoded)?
            }
            Op::RegexIsMatch | Op::RegexMatch | Op::RegexMatches | Op::RegexSplit => {
                let regex = self.regex(&values[1], values.get(2))?;
                return self.search(op, &regex, &text(0), "");
            }
            Op::RegexReplace => {
                let regex = self.regex(&values[1], values.get(3))?;
                return self.search(op, &regex, &text(0), &text(2));
            }
            Op::RegexEscape => {
                let escaped = regex::escape(&text(0));
                self.text(escaped)?
            }
            Op::ParseJson => return self.parse_json(&text(0)),
            Op::ParseJsonObject | Op::ParseJsonArray => {
                let json = self.parse_json(&text(0))?;
                let wanted = if op == Op::ParseJsonObject {
                    Type::JsonObject
                } else {
                    Type::JsonArray
                };
                return self.cast(json, &wanted);
            }
            Op::FromObject => Data::Json(self.json_of(&values[0])?),
            Op::Serialize => {
                let json = self.json_of(&values[0])?.to_value().to_string();
                self.text(json)?
            }
            Op::DeepEquals => Data::Bool(equal(&values[0], &values[1])),
            // Extension methods of the published policies accept null.
            Op::AsJwt | Op::AsBasic => Data::Null,
            _ => {
                let _ = ty;
                return self.null();
            }
        })
    }

    fn search(&mut self, op: Op, regex: &regex::Regex, text: &str, by: &str) -> Eval<Data> {
        self.burn(text.len() / 8)?;
        let groups = |captures: &regex::Captures<'_>| {
            Data::Match(Arc::new(
                regex
                    .capture_names()
                    .zip(captures.iter())
                    .map(|(name, group)| Captured {
                        name: name.map(Arc::from),
                        value: group.map(|group| Arc::from(group.as_str())),
                    })
                    .collect(),
            ))
        };
        Ok(match op {
            Op::RegexIsMatch | Op::InstanceIsMatch => Data::Bool(regex.is_match(text)),
            Op::RegexMatch | Op::InstanceMatch => regex
                .captures(text)
                .as_ref()
                .map_or_else(|| Data::Match(Arc::new(Vec::new())), groups),
            Op::RegexMatches | Op::InstanceMatches => {
                let found = regex
                    .captures_iter(text)
                    .map(|captures| groups(&captures))
                    .collect();
                self.list(found)?
            }
            Op::RegexSplit => {
                let parts = regex.split(text).map(Data::from).collect();
                self.list(parts)?
            }
            _ => {
                // `$1` of .NET ends at the first character that is no digit; the engine would read on.
                let mut template = String::new();
                let mut rest = by;
                while let Some(dollar) = rest.find('$') {
                    template.push_str(&rest[..dollar]);
                    rest = &rest[dollar + 1..];
                    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                    if digits > 0 {
                        template.push_str(&format!("${{{}}}", &rest[..digits]));
                        rest = &rest[digits..];
                    } else if rest.starts_with('{') {
                        template.push('$');
                    } else {
                        template.push_str("$$");
                        rest = rest.strip_prefix('$').unwrap_or(rest);
                    }
                }
                template.push_str(rest);
                let count = regex.find_iter(text).count();
                self.charge(count.saturating_mul(by.len()))?;
                let replaced = regex.replace_all(text, template.as_str()).into_owned();
                self.text(replaced)?
            }
        })
    }

    #[inline(never)]
    fn object_member(&mut self, op: Op, receiver: &Data, values: &[Data], ty: &Type) -> Eval<Data> {
        let text = |at: usize| values.get(at).map(Data::to_text).unwrap_or_default();
        match op {
            Op::ToText => {
                let text = receiver.to_text();
                return self.text(text);
            }
            Op::ToTextFormat => {
                let formatted = self.formatted(receiver, &text(0))?;
                return self.text(formatted);
            }
            Op::Equal => return Ok(Data::Bool(equal(receiver, &values[0]))),
            Op::CertificateVerify => {
                return Ok(self
                    .context
                    .field(super::super::context::Field::CertificateVerified));
            }
            _ => {}
        }
        match receiver {
            Data::Variables => match self.context.variable(&text(0)) {
                _ if op == Op::Keys => self.fail("Variables have no such member."),
                found if op == Op::VariableExists => Ok(Data::Bool(found.is_some())),
                Some(value) if *ty == Type::Object => Ok(value),
                Some(value) => self.cast(value, ty),
                None => Ok(match values.get(1) {
                    Some(default) => default.clone(),
                    None => default_of(ty),
                }),
            },
            Data::Map(_) | Data::ResponseHeaders(_) => match op {
                Op::MapValueOrDefault | Op::MapValueOr | Op::ValueOrDefault | Op::ValueOr => {
                    match self.map_entry(receiver, &text(0)) {
                        Some(values) => self.text(values.join(",")),
                        None => Ok(values.get(1).cloned().unwrap_or(Data::Null)),
                    }
                }
                Op::MapContainsKey | Op::ContainsKey => {
                    Ok(Data::Bool(self.map_entry(receiver, &text(0)).is_some()))
                }
                Op::Keys | Op::DictionaryValues => {
                    let mut keys = Vec::new();
                    for item in self.items(receiver)? {
                        if let Data::Pair(pair) = item {
                            keys.push(if op == Op::Keys {
                                Data::String(pair.0.clone())
                            } else {
                                pair.1.clone()
                            });
                        }
                    }
                    self.list(keys)
                }
                _ => self.sequence_member(op, receiver, values, ty),
            },
            Data::Body(_) | Data::ResponseBody(_) => {
                let preserve = matches!(values.first(), Some(Data::Bool(true)));
                let bytes = match receiver {
                    Data::Body(side) => self.context.body(*side, preserve),
                    Data::ResponseBody(response) => Some(Arc::clone(&response.body)),
                    _ => None,
                };
                if op != Op::BodyFormUrlEncoded {
                    return self.body(bytes, ty);
                }
                let form = bytes
                    .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                    .unwrap_or_default();
                self.charge(form.len())?;
                let mut entries: Vec<(Arc<str>, Data)> = Vec::new();
                for pair in form.split('&').filter(|pair| !pair.is_empty()) {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    let decode = |text: &str| {
                        percent_decode_str(&text.replace('+', " "))
                            .decode_utf8_lossy()
                            .into_owned()
                    };
                    let (name, value) = (decode(name), Data::from(decode(value)));
                    match entries.iter().find(|(known, _)| **known == *name) {
                        Some((_, Data::List(values))) => values.lock().push(value),
                        _ => entries.push((name.into(), Data::list([value]))),
                    }
                }
                Ok(Data::Dictionary(Shared::new(entries)))
            }
            Data::TimeSpan(span) => {
                let seconds = span.num_seconds();
                let total = seconds as f64 + f64::from(span.subsec_nanos()) / 1e9;
                Ok(match op {
                    Op::TotalSeconds => Data::Double(total),
                    Op::TotalMinutes => Data::Double(total / 60.0),
                    Op::TotalHours => Data::Double(total / 3600.0),
                    Op::TotalDays => Data::Double(total / 86_400.0),
                    Op::TotalMilliseconds => Data::Double(total * 1000.0),
                    Op::SpanSeconds => Data::Int(seconds % 60),
                    Op::SpanMinutes => Data::Int(seconds / 60 % 60),
                    Op::SpanHours => Data::Int(seconds / 3600 % 24),
                    Op::SpanDays => Data::Int(seconds / 86_400),
                    Op::SpanMilliseconds => Data::Int(i64::from(span.subsec_nanos() / 1_000_000)),
                    _ => {
                        return self.fail(format!("{} has no such member.", time_span_text(*span)));
                    }
                })
            }
            Data::Property(property) => match op {
                Op::PropertyName => Ok(Data::String(property.name.clone())),
                Op::PropertyValue => Ok(Data::Json(property.value.clone())),
                _ => {
                    if let Some(owner) = &property.owner {
                        owner.lock().retain(|(name, _)| *name != property.name);
                    }
                    Ok(Data::Null)
                }
            },
            Data::Pair(pair) => Ok(if op == Op::PairKey {
                Data::String(pair.0.clone())
            } else {
                pair.1.clone()
            }),
            Data::Group(group) => Ok(Data::from(if op == Op::GroupId {
                group.0.as_str()
            } else {
                group.1.as_str()
            })),
            Data::Basic(basic) => Ok(Data::from(if op == Op::BasicUser {
                basic.0.as_str()
            } else {
                basic.1.as_str()
            })),
            Data::Response(response) => Ok(match op {
                Op::ResponseStatus => Data::Int(i64::from(response.status_code)),
                Op::ResponseReason => Data::from(response.status_reason.as_str()),
                Op::ResponseHeaders => Data::ResponseHeaders(Arc::clone(response)),
                _ => Data::ResponseBody(Arc::clone(response)),
            }),
            Data::Bytes(bytes) => Ok(Data::Int(bytes.len() as i64)),
            Data::Regex(regex) => {
                let regex = Arc::clone(regex);
                self.search(op, &regex, &text(0), &text(1))
            }
            Data::Match(groups) => match op {
                Op::MatchSuccess => Ok(Data::Bool(
                    groups.first().is_some_and(|group| group.value.is_some()),
                )),
                Op::MatchValue => Ok(Data::from(receiver.to_text())),
                _ => {
                    let items = groups
                        .iter()
                        .map(|group| Data::Match(Arc::new(vec![group.clone()])))
                        .collect();
                    self.list(items)
                }
            },
            Data::Builder(builder) => {
                let more = match op {
                    Op::Length => return Ok(Data::Int(builder.lock().chars().count() as i64)),
                    Op::AppendFormat => self.compose(&text(0), &values[1..])?,
                    Op::AppendLine => text(0) + "\r\n",
                    _ => text(0),
                };
                self.charge(more.len())?;
                builder.lock().push_str(&more);
                Ok(receiver.clone())
            }
            Data::Random(state) => {
                // SplitMix64: small, and repeatable from the injected seed.
                let mut state = state.lock();
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut bits = *state;
                bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                bits ^= bits >> 31;
                let unit = (bits >> 11) as f64 / (1_u64 << 53) as f64;
                let bound = |at: usize| {
                    if let Some(Data::Int(value)) = values.get(at) {
                        *value
                    } else {
                        0
                    }
                };
                let (low, high) = match op {
                    Op::RandomDouble => return Ok(Data::Double(unit)),
                    Op::RandomNext => (0, i64::from(i32::MAX)),
                    Op::RandomBelow => (0, bound(0)),
                    _ => (bound(0), bound(1)),
                };
                if high < low {
                    return self.fail("The upper bound must not be less than the lower bound.");
                }
                Ok(Data::Int(low + (unit * (high - low) as f64) as i64))
            }
            Data::Jwt(jwt) => {
                let claim = |name: &str| {
                    jwt.payload
                        .get(name)
                        .and_then(serde_json::Value::as_str)
                        .map_or(Data::Null, Data::from)
                };
                let time = |name: &str| {
                    jwt.payload
                        .get(name)
                        .and_then(serde_json::Value::as_i64)
                        .and_then(unix_time)
                        .map_or(Data::Null, Data::DateTime)
                };
                Ok(match op {
                    Op::JwtId => claim("jti"),
                    Op::JwtIssuer => claim("iss"),
                    Op::JwtSubject => claim("sub"),
                    Op::JwtExpires => time("exp"),
                    Op::JwtNotBefore => time("nbf"),
                    Op::JwtIssuedAt => time("iat"),
                    Op::JwtAlgorithm => jwt
                        .header
                        .get("alg")
                        .and_then(serde_json::Value::as_str)
                        .map_or(Data::Null, Data::from),
                    Op::JwtType => jwt
                        .header
                        .get("typ")
                        .and_then(serde_json::Value::as_str)
                        .map_or(Data::Null, Data::from),
                    Op::JwtAudiences => {
                        Data::list(jwt.payload.get("aud").map(claim_values).unwrap_or_default())
                    }
                    _ => {
                        let entries = jwt.payload.as_object().into_iter().flatten();
                        Data::Dictionary(Shared::new(
                            entries
                                .map(|(name, value)| {
                                    (Arc::from(name.as_str()), Data::list(claim_values(value)))
                                })
                                .collect(),
                        ))
                    }
                })
            }
            Data::Dictionary(entries) => match op {
                // Claims are read like headers: several values are joined.
                Op::MapValueOrDefault | Op::MapValueOr => {
                    let found = entries
                        .lock()
                        .iter()
                        .find(|(name, _)| **name == *text(0))
                        .map(|(_, value)| value.clone());
                    match found {
                        Some(list @ Data::List(_)) => {
                            let joined = self
                                .items(&list)?
                                .iter()
                                .map(Data::to_text)
                                .collect::<Vec<_>>()
                                .join(",");
                            self.text(joined)
                        }
                        Some(value) => Ok(value),
                        None => Ok(values.get(1).cloned().unwrap_or(Data::Null)),
                    }
                }
                Op::MapContainsKey => Ok(Data::Bool(
                    entries.lock().iter().any(|(name, _)| **name == *text(0)),
                )),
                Op::ContainsKey => Ok(Data::Bool(
                    entries.lock().iter().any(|(name, _)| **name == *text(0)),
                )),
                Op::ValueOrDefault | Op::ValueOr => {
                    let found = entries
                        .lock()
                        .iter()
                        .find(|(name, _)| **name == *text(0))
                        .map(|(_, value)| value.clone());
                    let found =
                        found.unwrap_or_else(|| values.get(1).cloned().unwrap_or(Data::Null));
                    Ok(found)
                }
                Op::AddPair => self
                    .set_index(receiver, &values[0], values[1].clone())
                    .map(|()| Data::Null),
                Op::RemoveKey => {
                    let mut entries = entries.lock();
                    let before = entries.len();
                    entries.retain(|(name, _)| **name != *text(0));
                    Ok(Data::Bool(entries.len() < before))
                }
                Op::Keys => {
                    let keys = entries
                        .lock()
                        .iter()
                        .map(|(name, _)| Data::String(name.clone()))
                        .collect();
                    self.list(keys)
                }
                Op::DictionaryValues => {
                    let all = entries
                        .lock()
                        .iter()
                        .map(|(_, value)| value.clone())
                        .collect();
                    self.list(all)
                }
                _ => self.sequence_member(op, receiver, values, ty),
            },
            Data::Json(json) => self.json_member(op, json, receiver, values, ty),
            _ => self.sequence_member(op, receiver, values, ty),
        }
    }

    #[inline(never)]
    fn json_member(
        &mut self,
        op: Op,
        json: &Json,
        receiver: &Data,
        values: &[Data],
        ty: &Type,
    ) -> Eval<Data> {
        let text = |at: usize| values.get(at).map(Data::to_text).unwrap_or_default();
        match (op, json) {
            (Op::JsonAs, _) => self.cast(receiver.clone(), ty),
            (Op::ToTextCompact, _) => {
                let out = if text(0) == "None" {
                    json.to_value().to_string()
                } else {
                    json.to_string()
                };
                self.text(out)
            }
            (Op::DeepClone, _) => Ok(Data::Json(Json::from(json.to_value()))),
            (Op::JsonType, _) => Ok(Data::from(match json {
                Json::Object(_) => "Object",
                Json::Array(_) => "Array",
                Json::Scalar(serde_json::Value::String(_)) => "String",
                Json::Scalar(serde_json::Value::Bool(_)) => "Boolean",
                Json::Scalar(serde_json::Value::Number(number)) if number.is_f64() => "Float",
                Json::Scalar(serde_json::Value::Number(_)) => "Integer",
                Json::Scalar(_) => "Null",
            })),
            (Op::HasValues, _) => Ok(Data::Bool(match json {
                Json::Object(members) => !members.lock().is_empty(),
                Json::Array(items) => !items.lock().is_empty(),
                Json::Scalar(_) => false,
            })),
            (Op::SelectToken | Op::SelectTokens, _) => {
                let found = self.select(json, &text(0))?;
                if op == Op::SelectToken {
                    Ok(found.into_iter().next().map_or(Data::Null, Data::Json))
                } else {
                    self.list(found.into_iter().map(Data::Json).collect())
                }
            }
            (Op::Children | Op::Values, Json::Object(members)) => {
                let all = members
                    .lock()
                    .iter()
                    .map(|(_, value)| Data::Json(value.clone()))
                    .collect();
                self.list(all)
            }
            (Op::Children | Op::Values, _) => {
                let all = self.items(receiver)?;
                self.list(all)
            }
            (Op::JsonProperties, Json::Object(members)) => {
                let all = members
                    .lock()
                    .iter()
                    .map(|(name, value)| {
                        Data::Property(Property {
                            owner: Some(members.clone()),
                            name: name.clone(),
                            value: value.clone(),
                        })
                    })
                    .collect();
                self.list(all)
            }
            (Op::JsonProperty, Json::Object(members)) => {
                let found = members
                    .lock()
                    .iter()
                    .find(|(name, _)| **name == *text(0))
                    .cloned();
                Ok(found.map_or(Data::Null, |(name, value)| {
                    Data::Property(Property {
                        owner: Some(members.clone()),
                        name,
                        value,
                    })
                }))
            }
            (Op::ContainsKey, Json::Object(members)) => Ok(Data::Bool(
                members.lock().iter().any(|(name, _)| **name == *text(0)),
            )),
            (Op::JsonValueOf, Json::Object(_)) => self.index(receiver, &values[0]),
            (Op::AddPair, Json::Object(members)) => {
                let json = self.attached(&values[1], receiver)?;
                self.put(members, text(0).into(), json, false)
                    .map(|()| Data::Null)
            }
            (Op::Add, _) => self.add(receiver, values[0].clone()).map(|()| Data::Null),
            (Op::RemoveKey, Json::Object(members)) => {
                let mut members = members.lock();
                let before = members.len();
                members.retain(|(name, _)| **name != *text(0));
                Ok(Data::Bool(members.len() < before))
            }
            (Op::Clear, Json::Array(items)) => {
                items.lock().clear();
                Ok(Data::Null)
            }
            _ => self.sequence_member(op, receiver, values, ty),
        }
    }

    /// The part of JSONPath that samples use: names, indexes, `['name']`, `*` and a leading `$`.
    fn select(&mut self, json: &Json, path: &str) -> Eval<Vec<Json>> {
        let mut found = vec![json.clone()];
        let mut rest = path.trim().strip_prefix('$').unwrap_or(path.trim());
        while !rest.is_empty() {
            self.burn(found.len() + 1)?;
            let step;
            if let Some(bracket) = rest.strip_prefix('[') {
                let Some(end) = bracket.find(']') else {
                    return self.fail(format!("The path '{path}' is not valid."));
                };
                step = bracket[..end].trim_matches(['\'', '"']);
                rest = &bracket[end + 1..];
            } else {
                if rest.starts_with("..") {
                    return self.fail("Recursive descent is not supported in a path.");
                }
                let name = rest.strip_prefix('.').unwrap_or(rest);
                let end = name.find(['.', '[']).unwrap_or(name.len());
                step = &name[..end];
                rest = &name[end..];
            }
            if step.starts_with('?') || step.is_empty() {
                return self.fail(format!("The path '{path}' is not supported."));
            }
            let mut next = Vec::new();
            for json in &found {
                match json {
                    Json::Object(members) => next.extend(
                        members
                            .lock()
                            .iter()
                            .filter(|(name, _)| step == "*" || **name == *step)
                            .map(|(_, value)| value.clone()),
                    ),
                    Json::Array(items) if step == "*" => next.extend(items.lock().iter().cloned()),
                    Json::Array(items) => next.extend(
                        step.parse::<usize>()
                            .ok()
                            .and_then(|at| items.lock().get(at).cloned()),
                    ),
                    Json::Scalar(_) => {}
                }
            }
            self.charge(next.len() * 32)?;
            found = next;
        }
        Ok(found)
    }

    #[inline(never)]
    fn sequence_member(
        &mut self,
        op: Op,
        receiver: &Data,
        values: &[Data],
        ty: &Type,
    ) -> Eval<Data> {
        if let Data::List(items) = receiver {
            match op {
                Op::ListAdd => return self.add(receiver, values[0].clone()).map(|()| Data::Null),
                Op::AddRange => {
                    let more = self.items(&values[0])?;
                    items.lock().extend(more);
                    return Ok(Data::Null);
                }
                Op::Clear => {
                    items.lock().clear();
                    return Ok(Data::Null);
                }
                Op::ListRemove => {
                    let mut items = items.lock();
                    let found = items.iter().position(|item| equal(item, &values[0]));
                    if let Some(at) = found {
                        items.remove(at);
                    }
                    return Ok(Data::Bool(found.is_some()));
                }
                _ => {}
            }
        }
        let items = self.items(receiver)?;
        let count = || values.first().and_then(index).unwrap_or(0);
        Ok(match op {
            Op::Length => Data::Int(items.len() as i64),
            Op::Any => Data::Bool(!items.is_empty()),
            Op::First | Op::Last | Op::FirstOrDefault | Op::LastOrDefault => {
                let found = if matches!(op, Op::First | Op::FirstOrDefault) {
                    items.first()
                } else {
                    items.last()
                };
                match found {
                    Some(item) => item.clone(),
                    None if matches!(op, Op::First | Op::Last) => {
                        return self.fail("Sequence contains no elements.");
                    }
                    None => Data::Null,
                }
            }
            Op::Single | Op::SingleOrDefault => match items.as_slice() {
                [item] => item.clone(),
                [] if op == Op::SingleOrDefault => Data::Null,
                [] => return self.fail("Sequence contains no elements."),
                _ => return self.fail("Sequence contains more than one element."),
            },
            Op::ToList => self.list(items)?,
            Op::Cast => {
                let wanted = match ty {
                    Type::List(item) => (**item).clone(),
                    other => other.clone(),
                };
                let mut cast = Vec::with_capacity(items.len());
                for item in items {
                    cast.push(self.cast(item, &wanted)?);
                }
                self.list(cast)?
            }
            Op::Reverse => self.list(items.into_iter().rev().collect())?,
            Op::Skip => self.list(items.into_iter().skip(count()).collect())?,
            Op::Take => self.list(items.into_iter().take(count()).collect())?,
            Op::ElementAt => match items.get(count()) {
                Some(item) => item.clone(),
                None => return self.fail("Index was out of range."),
            },
            Op::Sum => {
                let mut sum = Data::Int(0);
                for item in items {
                    sum = self.binary(Bin::Add, sum, item)?;
                }
                sum
            }
            Op::MaxItem | Op::MinItem => {
                let found = if op == Op::MaxItem {
                    items.into_iter().max_by(compare)
                } else {
                    items.into_iter().min_by(compare)
                };
                match found {
                    Some(item) => item,
                    None => return self.fail("Sequence contains no elements."),
                }
            }
            Op::ListContains => {
                self.burn(items.len())?;
                Data::Bool(items.iter().any(|item| equal(item, &values[0])))
            }
            Op::ListContainsComparing => {
                self.burn(items.len())?;
                let wanted = values[0].to_text();
                let ignore = ignores_case(&values[1]);
                Data::Bool(items.iter().map(Data::to_text).any(|item| {
                    if ignore {
                        item.to_lowercase() == wanted.to_lowercase()
                    } else {
                        item == wanted
                    }
                }))
            }
            Op::ListIndexOf => Data::Int(
                items
                    .iter()
                    .position(|item| equal(item, &values[0]))
                    .map_or(-1, |at| at as i64),
            ),
            Op::ConcatList => {
                let more = self.items(&values[0])?;
                self.list(items.into_iter().chain(more).collect())?
            }
            Op::Distinct | Op::Union | Op::Except | Op::Intersect => {
                let other = match values.first() {
                    Some(other) => self.items(other)?,
                    None => Vec::new(),
                };
                let mut kept: Vec<Data> = Vec::new();
                let all = if op == Op::Union {
                    items.into_iter().chain(other.clone()).collect()
                } else {
                    items
                };
                for item in all {
                    self.burn(kept.len() + other.len() + 1)?;
                    let in_other = other.iter().any(|known| equal(known, &item));
                    let wanted = match op {
                        Op::Except => !in_other,
                        Op::Intersect => in_other,
                        _ => true,
                    };
                    if wanted && !kept.iter().any(|known| equal(known, &item)) {
                        kept.push(item);
                    }
                }
                self.list(kept)?
            }
            _ => return self.static_member(op, values, ty),
        })
    }
}

fn compare(a: &Data, b: &Data) -> std::cmp::Ordering {
    match (a, b) {
        (Data::DateTime(a), Data::DateTime(b)) => a.cmp(b),
        (Data::TimeSpan(a), Data::TimeSpan(b)) => a.cmp(b),
        (Data::Int(a), Data::Int(b)) => a.cmp(b),
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => a.to_text().cmp(&b.to_text()),
        },
    }
}
