//! Resource ids of the management contract.
//!
//! An id is a path: a root (`/subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.ApiManagement`)
//! followed by alternating *type* and *name* segments (`service/demo/apis/echo`). Types are matched
//! without regard to case and names keep the case they were stored with (contract rules §1), so this
//! crate compares types with [`eq_ignore_ascii_case`](str::eq_ignore_ascii_case) and never changes a name.
//!
//! The same parser reads the path of a request and an id inside a body; a path may end in a lone
//! type segment, which is a collection (`…/apis`) or an action (`…/listSecrets`).
//!
//! To add a new root form, extend [`Root`]; everything below the root is data of the engine's registry.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use std::fmt;

/// The only resource provider that Portico serves.
pub const PROVIDER: &str = "Microsoft.ApiManagement";

/// Longest path that is looked at, in bytes; ARM ids are far shorter.
pub const MAX_PATH_BYTES: usize = 8192;

/// Characters escaped when an id is printed into a URL. Ids in bodies are printed raw.
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'/')
    .add(b'%');

/// What stands before the first type segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// `/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ApiManagement`
    Group {
        /// Azure-style subscription id, any non-empty text.
        subscription: String,
        /// Resource group; groups exist implicitly.
        group: String,
    },
    /// `/subscriptions/{subscription}/providers/Microsoft.ApiManagement`
    Subscription {
        /// Azure-style subscription id, any non-empty text.
        subscription: String,
    },
    /// `/providers/Microsoft.ApiManagement`
    Tenant,
    /// No root: the short form of ids in bodies (`/products/starter`).
    Relative,
}

/// A parsed path: root, `type/name` pairs and, for a collection or an action, a last lone segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourcePath {
    /// What stands before the first type segment.
    pub root: Root,
    /// `(type, name)` pairs, outermost first, percent-decoded.
    pub pairs: Vec<(String, String)>,
    /// The lone segment at the end, if the number of segments is odd.
    pub tail: Option<String>,
}

/// Why a text is not a resource path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path does not begin with `/`.
    #[error("a resource id begins with '/'")]
    NotRooted,
    /// A segment is empty (`//`).
    #[error("segment {index} of the resource id is empty")]
    EmptySegment {
        /// Position of the segment, counted from 1.
        index: usize,
    },
    /// A segment holds percent escapes that are not UTF-8, or a control character.
    #[error("segment {index} of the resource id is not valid text")]
    BadText {
        /// Position of the segment, counted from 1.
        index: usize,
    },
    /// Another resource provider is named.
    #[error("the resource provider '{0}' is not served here")]
    UnknownProvider(String),
    /// The path is longer than [`MAX_PATH_BYTES`].
    #[error("the resource id is longer than {MAX_PATH_BYTES} bytes")]
    TooLong,
}

impl ResourcePath {
    /// Reads a path as it stands in a URL (percent-encoded) or, with the same result for ordinary
    /// names, as it stands in a body. A trailing `/` is ignored, as the real service does.
    ///
    /// # Errors
    /// [`PathError`] names the offending segment.
    pub fn parse(path: &str) -> Result<Self, PathError> {
        if path.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong);
        }
        let rest = path.strip_prefix('/').ok_or(PathError::NotRooted)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let mut segments = Vec::with_capacity(12);
        if !rest.is_empty() {
            for (at, raw) in rest.split('/').enumerate() {
                let index = at + 1;
                if raw.is_empty() {
                    return Err(PathError::EmptySegment { index });
                }
                let text = percent_decode_str(raw)
                    .decode_utf8()
                    .map_err(|_| PathError::BadText { index })?;
                if text.chars().any(char::is_control) {
                    return Err(PathError::BadText { index });
                }
                segments.push(text.into_owned());
            }
        }
        Self::from_segments(segments)
    }

    fn from_segments(segments: Vec<String>) -> Result<Self, PathError> {
        let is = |at: usize, word: &str| {
            segments
                .get(at)
                .is_some_and(|s| s.eq_ignore_ascii_case(word))
        };
        let provider_at = |at: usize| -> Result<bool, PathError> {
            if !is(at, "providers") {
                return Ok(false);
            }
            match segments.get(at + 1) {
                Some(name) if name.eq_ignore_ascii_case(PROVIDER) => Ok(true),
                Some(name) => Err(PathError::UnknownProvider(name.clone())),
                None => Ok(false),
            }
        };
        let (root, from) = if is(0, "subscriptions") && is(2, "resourceGroups") && provider_at(4)? {
            let root = Root::Group {
                subscription: segments[1].clone(),
                group: segments[3].clone(),
            };
            (root, 6)
        } else if is(0, "subscriptions") && provider_at(2)? {
            (
                Root::Subscription {
                    subscription: segments[1].clone(),
                },
                4,
            )
        } else if provider_at(0)? {
            (Root::Tenant, 2)
        } else {
            (Root::Relative, 0)
        };
        let mut below = segments.into_iter().skip(from);
        let mut pairs = Vec::new();
        let mut tail = None;
        while let Some(kind) = below.next() {
            match below.next() {
                Some(name) => pairs.push((kind, name)),
                None => tail = Some(kind),
            }
        }
        Ok(Self { root, pairs, tail })
    }

    /// The name that stands after the type `segment`, if the path has that pair.
    #[must_use]
    pub fn name_of(&self, segment: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(kind, _)| kind.eq_ignore_ascii_case(segment))
            .map(|(_, name)| name.as_str())
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group {
                subscription,
                group,
            } => write!(
                f,
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/{PROVIDER}"
            ),
            Self::Subscription { subscription } => {
                write!(f, "/subscriptions/{subscription}/providers/{PROVIDER}")
            }
            Self::Tenant => write!(f, "/providers/{PROVIDER}"),
            Self::Relative => Ok(()),
        }
    }
}

impl fmt::Display for ResourcePath {
    /// Prints the id as it stands in bodies: not percent-encoded.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root)?;
        for (kind, name) in &self.pairs {
            write!(f, "/{kind}/{name}")?;
        }
        if let Some(tail) = &self.tail {
            write!(f, "/{tail}")?;
        }
        Ok(())
    }
}

/// Percent-encodes an id printed by [`ResourcePath`] for use in a URL; the slashes stay.
#[must_use]
pub fn to_url_path(id: &str) -> String {
    id.split('/')
        .map(|segment| utf8_percent_encode(segment, SEGMENT).to_string())
        .collect::<Vec<_>>()
        .join("/")
}

/// What a resource of one kind may be called.
#[derive(Clone, Copy, Debug)]
pub enum NameRule {
    /// Free text of a length in characters without `* # & + : < > ?` (contract: `^[^*#&+:<>?]+$`).
    Id {
        /// Fewest characters.
        min: usize,
        /// Most characters.
        max: usize,
    },
    /// A name that could be a host's label, as services have: letter first, letters, digits and inner hyphens.
    Label {
        /// Most characters.
        max: usize,
    },
    /// One of a closed list, compared without regard to case and stored as listed.
    Fixed(&'static [&'static str]),
    /// An e-mail address used as a name (`recipientEmails/{email}`).
    Email,
}

impl NameRule {
    /// What a service may be called.
    pub const SERVICE: Self = Self::Label { max: 50 };

    /// A free id of up to `max` characters.
    #[must_use]
    pub const fn id(max: usize) -> Self {
        Self::Id { min: 1, max }
    }

    /// The name as it is to be stored, or a sentence that says what is wrong with it.
    ///
    /// # Errors
    /// The sentence fits after the wire name of the path parameter.
    pub fn check(&self, name: &str) -> Result<String, String> {
        match self {
            Self::Id { min, max } => {
                let length = name.chars().count();
                if length < *min || length > *max {
                    return Err(format!("must be {min} to {max} characters long"));
                }
                if name.chars().any(|c| "*#&+:<>?".contains(c)) {
                    return Err("must not contain any of * # & + : < > ?".into());
                }
                Ok(name.to_owned())
            }
            Self::Label { max } => {
                let inner = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
                let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
                let last = name
                    .chars()
                    .last()
                    .is_some_and(|c| c.is_ascii_alphanumeric());
                if (1..=*max).contains(&name.len()) && inner && first && last {
                    Ok(name.to_owned())
                } else {
                    Err(format!(
                        "must be 1 to {max} letters, digits and hyphens, begin with a letter and end with a letter or a digit"
                    ))
                }
            }
            Self::Fixed(names) => names
                .iter()
                .find(|known| known.eq_ignore_ascii_case(name))
                .map(|known| (*known).to_owned())
                .ok_or_else(|| format!("must be one of {}", names.join(", "))),
            Self::Email => {
                let sound = name.len() <= 254
                    && name.split_once('@').is_some_and(|(local, host)| {
                        !local.is_empty() && host.contains('.') && !host.contains('@')
                    })
                    && !name
                        .chars()
                        .any(|c| c.is_whitespace() || c.is_control() || "<>,;\"".contains(c));
                if sound {
                    Ok(name.to_owned())
                } else {
                    Err("must be an e-mail address".into())
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        reason = "a failed parse is the failure of the test"
    )]
    use super::*;

    const SERVICE: &str =
        "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.ApiManagement/service/demo";

    #[test]
    fn an_id_is_parsed_and_printed_back() {
        for tail in [
            "",
            "/apis/echo",
            "/apis/echo;rev=2/operations/get",
            "/apis",
            "/users/1/token",
        ] {
            let id = format!("{SERVICE}{tail}");
            assert_eq!(ResourcePath::parse(&id).unwrap().to_string(), id);
        }
    }

    #[test]
    fn type_segments_match_in_any_case_and_names_keep_theirs() {
        let id = SERVICE
            .replace("resourceGroups", "RESOURCEGROUPS")
            .replace("demo", "DeMo");
        let path = ResourcePath::parse(&id).unwrap();
        assert_eq!(path.name_of("SERVICE"), Some("DeMo"));
        assert_eq!(
            path.root,
            Root::Group {
                subscription: "s1".into(),
                group: "rg".into()
            }
        );
    }

    #[test]
    fn percent_escapes_are_decoded_once() {
        let path = ResourcePath::parse("/recipientEmails/ops%40example.org").unwrap();
        assert_eq!(
            path.pairs,
            [("recipientEmails".into(), "ops@example.org".into())]
        );
        assert_eq!(ResourcePath::parse("/a/%2541").unwrap().pairs[0].1, "%41");
    }

    #[test]
    fn a_lone_last_segment_is_the_tail() {
        let path = ResourcePath::parse(&format!("{SERVICE}/subscriptions/s/listSecrets")).unwrap();
        assert_eq!(path.tail.as_deref(), Some("listSecrets"));
    }

    #[test]
    fn bad_paths_say_where() {
        assert_eq!(ResourcePath::parse("apis/x"), Err(PathError::NotRooted));
        assert_eq!(
            ResourcePath::parse("/apis//x"),
            Err(PathError::EmptySegment { index: 2 })
        );
        assert_eq!(
            ResourcePath::parse("/apis/%ff"),
            Err(PathError::BadText { index: 2 })
        );
        assert_eq!(
            ResourcePath::parse("/apis/%00"),
            Err(PathError::BadText { index: 2 })
        );
        assert_eq!(
            ResourcePath::parse("/providers/Microsoft.Compute/vms/x"),
            Err(PathError::UnknownProvider("Microsoft.Compute".into()))
        );
    }

    #[test]
    fn name_rules_say_what_is_wrong() {
        assert_eq!(NameRule::id(3).check("ab"), Ok("ab".into()));
        assert_eq!(
            NameRule::id(3).check("abcd"),
            Err("must be 1 to 3 characters long".into())
        );
        assert_eq!(
            NameRule::id(3).check("a+"),
            Err("must not contain any of * # & + : < > ?".into())
        );
        for good in ["a", "demo-1", "Demo"] {
            assert_eq!(NameRule::SERVICE.check(good), Ok(good.to_owned()));
        }
        for bad in ["", "1a", "a-", "-a", "a_b", &"a".repeat(51)] {
            assert!(NameRule::SERVICE.check(bad).is_err(), "{bad}");
        }
        assert_eq!(
            NameRule::Fixed(&["policy"]).check("POLICY"),
            Ok("policy".into())
        );
        assert!(NameRule::Email.check("a@b.example").is_ok());
        assert!(NameRule::Email.check("a b@c.example").is_err());
    }
}
