//! Values at run time.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use super::context::{Map, Part, Side};

/// What a group of a regular expression found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Captured {
    /// Name of the group, if it has one.
    pub name: Option<Arc<str>>,
    /// What it found; `None` when it took no part in the match.
    pub value: Option<Arc<str>>,
}

/// A value of an expression. Context variables hold these too.
#[derive(Clone, Debug)]
pub enum Data {
    /// `null`.
    Null,
    /// `bool`.
    Bool(bool),
    /// `int` and `long`.
    Int(i64),
    /// `double`, `float` and `decimal`.
    Double(f64),
    /// `char`.
    Char(char),
    /// `string`.
    String(Arc<str>),
    /// `byte[]`.
    Bytes(Arc<[u8]>),
    /// `DateTime`, always in UTC.
    DateTime(DateTime<Utc>),
    /// `TimeSpan`.
    TimeSpan(TimeDelta),
    /// `Guid`.
    Guid(u128),
    /// `JToken` and its subclasses.
    Json(Json),
    /// `JProperty`.
    Property(Property),
    /// Arrays, `List<T>` and other sequences.
    List(Shared<Vec<Data>>),
    /// `Dictionary<string, T>` in order of insertion, and the payload views of tokens.
    Dictionary(Shared<Vec<(Arc<str>, Data)>>),
    /// `KeyValuePair<string, T>`.
    Pair(Arc<(Arc<str>, Data)>),
    /// `StringBuilder`.
    Builder(Shared<String>),
    /// `Random`: the state of its generator.
    Random(Shared<u64>),
    /// `Regex`.
    Regex(Arc<regex::Regex>),
    /// `Match`, and `Group` when it has one entry: the groups; `None` is a group without success.
    Match(Arc<Vec<Captured>>),
    /// `Jwt`.
    Jwt(Arc<Jwt>),
    /// Basic credentials: user id and password.
    Basic(Arc<(String, String)>),
    /// A response that a policy received.
    Response(Arc<ResponseData>),
    /// A named object with an id: a group of a user.
    Group(Arc<(String, String)>),
    /// An object below `context`.
    Part(Part),
    /// A map below `context`.
    Map(Map),
    /// A body below `context`.
    Body(Side),
    /// The context variables.
    Variables,
    /// The headers of a [`ResponseData`].
    ResponseHeaders(Arc<ResponseData>),
    /// The body of a [`ResponseData`].
    ResponseBody(Arc<ResponseData>),
}

/// A value that several places share and may change, with the reference semantics of .NET objects.
#[derive(Debug, Default)]
pub struct Shared<T>(Arc<Mutex<T>>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Shared<T> {
    /// A new object.
    pub fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(value)))
    }

    /// Access to the object. A panic elsewhere cannot leave it half changed, so poisoning is ignored.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The members of a JSON object in order of insertion.
pub type Members = Shared<Vec<(Arc<str>, Json)>>;

/// A JSON token. Objects and arrays are shared and changeable, as `JObject` and `JArray` are.
#[derive(Clone, Debug)]
pub enum Json {
    /// A scalar: null, Boolean, number or text.
    Scalar(serde_json::Value),
    /// An object in order of insertion.
    Object(Members),
    /// An array.
    Array(Shared<Vec<Json>>),
}

/// A property: of an object, or on its own before it is added to one.
#[derive(Clone, Debug)]
pub struct Property {
    /// The object it belongs to, so that it can be removed.
    pub(crate) owner: Option<Members>,
    pub(crate) name: Arc<str>,
    pub(crate) value: Json,
}

/// A decoded, not verified, JSON web token.
#[derive(Clone, Debug, PartialEq)]
pub struct Jwt {
    /// Header object.
    pub header: serde_json::Value,
    /// Payload object.
    pub payload: serde_json::Value,
    /// The three parts as they were received.
    pub encoded: String,
}

/// A response that `send-request` received.
#[derive(Clone, Debug, PartialEq)]
pub struct ResponseData {
    /// Status code.
    pub status_code: u16,
    /// Reason phrase.
    pub status_reason: String,
    /// Names with values.
    pub headers: Vec<(String, Vec<String>)>,
    /// The whole body.
    pub body: Arc<[u8]>,
}

impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::Object(members) => Self::Object(Shared::new(
                members
                    .into_iter()
                    .map(|(name, value)| (name.into(), value.into()))
                    .collect(),
            )),
            serde_json::Value::Array(items) => {
                Self::Array(Shared::new(items.into_iter().map(Self::from).collect()))
            }
            scalar => Self::Scalar(scalar),
        }
    }
}

impl Json {
    /// The same value as plain JSON.
    pub fn to_value(&self) -> serde_json::Value {
        match self {
            Self::Scalar(value) => value.clone(),
            Self::Object(members) => serde_json::Value::Object(
                members
                    .lock()
                    .iter()
                    .map(|(name, value)| (name.to_string(), value.to_value()))
                    .collect(),
            ),
            Self::Array(items) => {
                serde_json::Value::Array(items.lock().iter().map(Self::to_value).collect())
            }
        }
    }
}

impl From<Cow<'_, str>> for Data {
    fn from(text: Cow<'_, str>) -> Self {
        Self::String(text.into())
    }
}

impl From<&str> for Data {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<String> for Data {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

impl From<bool> for Data {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Data {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl Data {
    /// A list of values.
    pub fn list(items: impl IntoIterator<Item = Self>) -> Self {
        Self::List(Shared::new(items.into_iter().collect()))
    }

    /// The value as it becomes attribute text, header or body: `ToString()` of .NET in the invariant culture; null is empty.
    pub fn to_text(&self) -> String {
        match self {
            Self::String(text) => text.to_string(),
            other => other.to_string(),
        }
    }
}

/// 32 hexadecimal digits with hyphens.
pub(crate) fn guid_text(guid: u128) -> String {
    let hex = format!("{guid:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// `[-][d.]hh:mm:ss[.fffffff]`.
pub(crate) fn time_span_text(span: TimeDelta) -> String {
    let (sign, span) = if span < TimeDelta::zero() {
        ("-", -span)
    } else {
        ("", span)
    };
    let seconds = span.num_seconds();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let days = if days > 0 {
        format!("{days}.")
    } else {
        String::new()
    };
    let ticks = span.subsec_nanos() / 100;
    let fraction = if ticks > 0 {
        format!(".{ticks:07}")
    } else {
        String::new()
    };
    format!(
        "{sign}{days}{hours:02}:{minutes:02}:{:02}{fraction}",
        seconds % 60
    )
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(serde_json::Value::String(text)) => f.write_str(text),
            Self::Scalar(serde_json::Value::Null) => Ok(()),
            Self::Scalar(serde_json::Value::Bool(true)) => f.write_str("True"),
            Self::Scalar(serde_json::Value::Bool(false)) => f.write_str("False"),
            Self::Scalar(number) => write!(f, "{number}"),
            Self::Object(_) | Self::Array(_) => {
                match serde_json::to_string_pretty(&self.to_value()) {
                    // Newtonsoft writes the line ends of Windows.
                    Ok(text) => f.write_str(&text.replace('\n', "\r\n")),
                    Err(_) => Err(fmt::Error),
                }
            }
        }
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Bool(true) => f.write_str("True"),
            Self::Bool(false) => f.write_str("False"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Double(value) => write!(f, "{value}"),
            Self::Char(value) => write!(f, "{value}"),
            Self::String(value) => f.write_str(value),
            Self::Bytes(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
            Self::DateTime(time) => write!(f, "{}", time.format("%m/%d/%Y %H:%M:%S")),
            Self::TimeSpan(span) => f.write_str(&time_span_text(*span)),
            Self::Guid(guid) => f.write_str(&guid_text(*guid)),
            Self::Json(json) => write!(f, "{json}"),
            Self::Property(property) => {
                write!(f, "\"{}\": {}", property.name, property.value.to_value())
            }
            Self::Pair(pair) => write!(f, "[{}, {}]", pair.0, pair.1),
            Self::Builder(builder) => f.write_str(&builder.lock()),
            Self::Regex(regex) => f.write_str(regex.as_str()),
            Self::Match(groups) => f.write_str(
                groups
                    .first()
                    .and_then(|group| group.value.as_deref())
                    .unwrap_or_default(),
            ),
            Self::Jwt(jwt) => f.write_str(&jwt.encoded),
            Self::List(_) => f.write_str("System.Collections.Generic.List"),
            Self::Dictionary(_) | Self::Map(_) | Self::Variables | Self::ResponseHeaders(_) => {
                f.write_str("System.Collections.Generic.Dictionary")
            }
            Self::Random(_) => f.write_str("System.Random"),
            Self::Basic(_) => f.write_str("BasicAuthCredentials"),
            Self::Response(_) => f.write_str("Response"),
            Self::Group(group) => f.write_str(&group.1),
            Self::Part(part) => write!(f, "{part:?}"),
            Self::Body(_) | Self::ResponseBody(_) => f.write_str("MessageBody"),
        }
    }
}
