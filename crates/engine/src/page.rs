//! What comes in and what goes out, without any HTTP framework: the server maps actix to these.

use crate::{Error, Result, Violations, etag::IfMatch};
use arm_id::ResourcePath;
use bytes::Bytes;
use serde_json::Value;
use uuid::Uuid;

/// Method of a request, as far as the contract knows methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// POST
    Post,
    /// DELETE
    Delete,
}

impl Method {
    /// The method's name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// An administrator or an application; roles come from `role_assignments`.
    Principal {
        /// Row in `principals`.
        id: Uuid,
        /// E-mail address or application name, for the audit trail.
        name: String,
    },
    /// A developer of one service, through the developer API, which has checked what he may do.
    Developer {
        /// The service.
        service: Uuid,
        /// E-mail address, for the audit trail.
        email: String,
    },
    /// A SharedAccessSignature of one service's tenant access: may do everything in that service.
    Integration {
        /// The service whose key signed the token.
        service: Uuid,
    },
}

/// Query parameters; names are compared without regard to case, the first of equal names wins.
#[derive(Clone, Debug, Default)]
pub struct Query(pub Vec<(String, String)>);

impl Query {
    /// The value of a parameter.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// A boolean switch such as `deleteSubscriptions`; absent is `false`.
    ///
    /// # Errors
    /// A violation naming the parameter when it is neither `true` nor `false`.
    pub fn switch(&self, name: &str) -> Result<bool> {
        match self.value(name).map(str::to_ascii_lowercase).as_deref() {
            None | Some("false" | "") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Error::invalid(name, "must be true or false")),
        }
    }
}

/// Where a request comes from, for the audit trail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Address of the caller.
    pub address: String,
    /// Id of the request in the log.
    pub request_id: String,
}

/// A request of the management API after authentication.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Parsed path.
    pub path: ResourcePath,
    /// Query parameters, decoded.
    pub query: Query,
    /// `If-Match`.
    pub if_match: IfMatch,
    /// Body, complete.
    pub body: Bytes,
    /// Who calls.
    pub caller: Caller,
    /// Scheme and authority that the caller used, without a slash at the end: for absolute links.
    pub base_url: String,
    /// Where it comes from.
    pub origin: Origin,
    /// The contract version that the caller speaks, `2024-05-01`.
    pub api_version: String,
}

impl Request {
    /// The body as a JSON object; an absent body is an empty object, because some PUTs have none.
    ///
    /// # Errors
    /// `Malformed` when the body is not a JSON object.
    pub fn json(&self) -> Result<serde_json::Map<String, Value>> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(serde_json::Map::new());
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(map)) => Ok(map),
            Ok(_) => Err(Error::Malformed(
                "The request content must be a JSON object.".into(),
            )),
            Err(e) => Err(Error::Malformed(format!(
                "The request content was invalid and could not be deserialized: {e}"
            ))),
        }
    }

    /// The body as what an action takes.
    ///
    /// # Errors
    /// `Malformed` when the body is not a JSON object, or not such a one.
    pub fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(Value::Object(self.json()?))
            .map_err(|e| Error::Malformed(format!("The request content was invalid: {e}")))
    }

    /// `$orderby`: Portico's own addition to lists, which the contract orders by name.
    #[must_use]
    pub fn order_by(&self) -> Option<&str> {
        self.query
            .value("$orderby")
            .filter(|text| !text.trim().is_empty())
    }

    /// Whether the path is `…/service/{name}/{tail}`: something of a service that is no kind of resource.
    #[must_use]
    pub fn is_of_service(&self, tail: &str) -> bool {
        match (self.path.pairs.as_slice(), self.path.tail.as_deref()) {
            ([(service, _)], Some(last)) => {
                service.eq_ignore_ascii_case("service") && last.eq_ignore_ascii_case(tail)
            }
            _ => false,
        }
    }

    /// Whether the caller speaks a contract as new as this date.
    #[must_use]
    pub fn speaks(&self, since: &str) -> bool {
        self.api_version.get(..10).unwrap_or_default() >= since
    }
}

/// A reply of the management API.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Header names and values.
    pub headers: Vec<(&'static str, String)>,
    /// JSON body; `None` sends none but that of `text`.
    pub body: Option<Value>,
    /// JSON body that was written as text.
    pub text: Option<Bytes>,
}

impl Reply {
    /// 200 with a body.
    #[must_use]
    pub fn ok(body: Value) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: Some(body),
            text: None,
        }
    }
    /// 200 with a body that is text already.
    #[must_use]
    pub fn printed(text: Vec<u8>) -> Self {
        Self {
            text: Some(text.into()),
            ..Self::empty(200)
        }
    }
    /// With the body as a value.
    ///
    /// # Errors
    /// When the text is no JSON: ours.
    pub fn parsed(mut self) -> Result<Self> {
        if let Some(text) = self.text.take() {
            self.body = Some(serde_json::from_slice(&text).map_err(Error::internal)?);
        }
        Ok(self)
    }
    /// A status without a body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: None,
            text: None,
        }
    }
    /// With a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
    /// With the revision of the configuration that has the write.
    #[must_use]
    pub fn at_revision(self, revision: Option<u64>) -> Self {
        match revision {
            None => self,
            Some(revision) => self.with(REVISION_HEADER, revision.to_string()),
        }
    }
}

/// Header of a write's reply: the revision of the configuration that has the write. A gateway that serves this revision or a
/// later one serves the write.
pub const REVISION_HEADER: &str = "x-portico-revision";

/// Items of a page where the caller names no `$top`.
pub const DEFAULT_PAGE: i64 = 100;
/// Most items of a page; a larger `$top` gets pages of this size and a `nextLink`.
pub const LARGEST_PAGE: i64 = 1000;

/// Which part of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Items at most.
    pub top: i64,
    /// Items to pass over.
    pub skip: i64,
    /// The (lower-cased) name after which the page begins.
    pub after: Option<String>,
}

impl Window {
    /// Reads `$top`, `$skip` and our own `$skiptoken`.
    ///
    /// # Errors
    /// Names each parameter that is not a number in range.
    pub fn parse(query: &Query) -> Result<Self> {
        let mut violations = Violations::default();
        let mut number = |name: &str, least: i64| match query.value(name).map(str::parse::<i64>) {
            None => None,
            Some(Ok(n)) if n >= least => Some(n),
            Some(_) => {
                violations.add(name, format!("must be a whole number of at least {least}"));
                None
            }
        };
        let wanted = number("$top", 1);
        let skip = number("$skip", 0).unwrap_or(0);
        let after = match query.value("$skiptoken") {
            None => None,
            Some(token) => match decode_token(token) {
                Some(name) => Some(name),
                None => {
                    violations.add("$skiptoken", "is not a token that this API gave out");
                    None
                }
            },
        };
        violations.into_result()?;
        let top = wanted.unwrap_or(DEFAULT_PAGE).min(LARGEST_PAGE);
        Ok(Self { top, skip, after })
    }

    /// The absolute link to the page after the one that ends with `last`: same query, new token.
    ///
    /// A key instead of a number, so that a page at any depth costs the same and rows that come
    /// or go between two pages neither repeat nor hide others. A list in another order has no such key and goes on by number.
    #[must_use]
    pub fn next_link(&self, request: &Request, raw_path: &str, last: &str) -> String {
        let mut url = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in &request.query.0 {
            if !name.eq_ignore_ascii_case("$skip") && !name.eq_ignore_ascii_case("$skiptoken") {
                url.append_pair(name, value);
            }
        }
        if request.order_by().is_some() {
            url.append_pair("$skip", &(self.skip + self.top).to_string());
        } else {
            url.append_pair("$skiptoken", &encode_token(last));
        }
        format!(
            "{}{}?{}",
            request.base_url,
            arm_id::to_url_path(raw_path),
            url.finish().replace("%24", "$")
        )
    }
}

fn encode_token(name: &str) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(name.to_lowercase())
}

fn decode_token(token: &str) -> Option<String> {
    use base64::Engine as _;
    let bytes = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
    String::from_utf8(bytes).ok()
}
