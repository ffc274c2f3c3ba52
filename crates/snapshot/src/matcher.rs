//! URL templates of operations, and a persistent trie that finds the operation of a request.
//!
//! A template is a path and perhaps a query: `/jobs/{id}/start?api-version={version}`.
//! - A path segment is a literal (compared without case), a parameter `{id}` (anything but empty), or a mix of both:
//!   `Packages(Id='{id}')`, `{name}.{extension}`. The last one may be `*` or `{*rest}`, which takes all that is left, also nothing.
//! - A query part `name={parameter}` wants the name in the request; `name=value` wants that value. Their order does not matter, and
//!   the request may have more. A template without a query matches any.
//!
//! Segment by segment a literal wins over a mix, a mix over a parameter, a parameter over a wildcard; among templates of one path
//! the one with more query parts wins, then the one with more literal query values. One slash at the end is ignored.
//!
//! The time of a search depends on the length of the path and on how many templates share its segments, not on how many there are;
//! inserting and removing copies one path of the trie and shares the rest. A branch that leads to one operation only is kept as that
//! operation with what is left of its template ([`Only`]): most are, and a search then reads one place in memory instead of several for
//! each segment.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use uuid::Uuid;

use crate::map::{FlatMap, IdMap};

/// Literals and parameters in turn: `a{x}b{y}` is `["a", "b", ""]`, lower case.
type Mix = Box<[Box<str>]>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    Mix(Mix),
    Parameter,
    Wildcard,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct QueryPart {
    /// Lower case.
    name: Box<str>,
    value: QueryValue,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum QueryValue {
    /// Lower case.
    Literal(Box<str>),
    Parameter(Box<str>),
    Mix(Mix, Box<[Box<str>]>),
}

/// A compiled URL template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    segments: Vec<Segment>,
    tail: Tail,
}

/// What is left of a template when the trie has taken its segments.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tail {
    /// Names of the path's parameters in order.
    names: Box<[Box<str>]>,
    /// Segment where the rest of the path begins that the last of `names` stands for, if the wildcard has a name.
    rest_at: Option<u32>,
    query: Box<[QueryPart]>,
}

/// A text of literals and parameters, taken apart.
enum Text {
    Literal(Box<str>),
    Parameter(Box<str>),
    Mix(Mix, Box<[Box<str>]>),
}

fn lower(text: &str) -> Box<str> {
    let decoded = percent_decode_str(text).decode_utf8_lossy();
    decoded.to_ascii_lowercase().into()
}

impl Text {
    /// A brace without its partner is a literal.
    fn new(text: &str) -> Self {
        let mut literals = Vec::new();
        let mut names: Vec<Box<str>> = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{')
            && let Some(length) = rest[open..].find('}')
        {
            literals.push(lower(&rest[..open]));
            names.push(rest[open + 1..open + length].into());
            rest = &rest[open + length + 1..];
        }
        literals.push(lower(rest));
        match (names.len(), &literals[..]) {
            (0, _) => Self::Literal(literals.swap_remove(0)),
            (1, [before, after]) if before.is_empty() && after.is_empty() => {
                Self::Parameter(names.swap_remove(0))
            }
            _ => Self::Mix(literals.into(), names.into()),
        }
    }
}

/// Byte offset of the first `wanted` that is not inside braces.
fn outside_braces(text: &str, wanted: u8) -> Option<usize> {
    let mut inside = false;
    text.bytes().position(|byte| {
        match byte {
            b'{' => inside = true,
            b'}' => inside = false,
            _ => {}
        }
        byte == wanted && !inside
    })
}

impl Template {
    /// Compiles a template. Every text is one: what is not well-formed is taken literally.
    #[must_use]
    pub fn new(template: &str) -> Self {
        let (path, query) = match outside_braces(template, b'?') {
            Some(at) => (&template[..at], &template[at + 1..]),
            None => (template, ""),
        };
        let mut segments = Vec::new();
        let mut names = Vec::new();
        let mut rest_at = None;
        let mut rest = path.strip_prefix('/').unwrap_or(path);
        while !rest.is_empty() {
            let (segment, left) = match outside_braces(rest, b'/') {
                Some(at) => (&rest[..at], &rest[at + 1..]),
                None => (rest, ""),
            };
            rest = left;
            let wildcard = segment
                .strip_prefix("{*")
                .and_then(|name| name.strip_suffix('}'));
            if rest.is_empty() && (segment == "*" || wildcard.is_some()) {
                // A path of four billion segments does not fit into a template.
                rest_at = wildcard.and(u32::try_from(segments.len()).ok());
                segments.push(Segment::Wildcard);
                names.extend(wildcard.map(Box::from));
                continue;
            }
            segments.push(match Text::new(segment) {
                Text::Literal(literal) => Segment::Literal(literal),
                Text::Parameter(name) => {
                    names.push(name);
                    Segment::Parameter
                }
                Text::Mix(mix, mixed) => {
                    names.extend(mixed);
                    Segment::Mix(mix)
                }
            });
        }
        let query = query
            .split('&')
            .filter(|part| !part.is_empty())
            .map(|part| {
                let (name, value) = part.split_once('=').unwrap_or((part, ""));
                QueryPart {
                    name: lower(name),
                    value: match Text::new(value) {
                        Text::Literal(literal) => QueryValue::Literal(literal),
                        Text::Parameter(name) => QueryValue::Parameter(name),
                        Text::Mix(mix, names) => QueryValue::Mix(mix, names),
                    },
                }
            })
            .collect();
        Self {
            segments,
            tail: Tail {
                names: names.into(),
                rest_at,
                query,
            },
        }
    }

    /// Names of all parameters.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let query = self.tail.query.iter().flat_map(|part| match &part.value {
            QueryValue::Literal(_) => &[][..],
            QueryValue::Parameter(name) => std::slice::from_ref(name),
            QueryValue::Mix(_, names) => names,
        });
        self.tail.names.iter().chain(query).map(|name| &**name)
    }

    /// Literal query part that the leaf is filed under, if it has one.
    fn key(&self) -> Option<Box<str>> {
        self.tail.query.iter().find_map(|part| match &part.value {
            QueryValue::Literal(value) => Some(query_key(&part.name, value)),
            QueryValue::Parameter(_) | QueryValue::Mix(..) => None,
        })
    }
}

fn query_key(name: &str, value: &str) -> Box<str> {
    format!("{name}={value}").into()
}

/// Ranges of the parameters of a mix in `text`, each as short as possible and not empty.
fn take_apart(mix: &[Box<str>], text: &str, ranges: &mut impl Extend<Range<usize>>) -> bool {
    let (Some((first, middle)), lowered) = (mix.split_first(), text.to_ascii_lowercase()) else {
        return false;
    };
    let Some((last, middle)) = middle.split_last() else {
        return false;
    };
    if !lowered.starts_with(&**first) {
        return false;
    }
    let mut at = first.len();
    let mut found = Vec::with_capacity(mix.len() - 1);
    for literal in middle {
        // At least one character for the parameter.
        let Some(skip) = lowered[at..].chars().next().map(char::len_utf8) else {
            return false;
        };
        let Some(length) = lowered[at + skip..].find(&**literal) else {
            return false;
        };
        found.push(at..at + skip + length);
        at += skip + length + literal.len();
    }
    let end = lowered.len().checked_sub(last.len());
    match end {
        Some(end) if end > at && lowered.is_char_boundary(end) && lowered[end..] == **last => {
            found.push(at..end);
            ranges.extend(found);
            true
        }
        _ => false,
    }
}

#[derive(Clone, Debug)]
struct Leaf<T> {
    id: Uuid,
    tail: Arc<Tail>,
    /// Whether the tail wants something of the query: most do not, and then it need not be read.
    has_query: bool,
    value: T,
}

/// What ends at one place of the trie with one method.
#[derive(Clone, Debug)]
struct Ends<T> {
    /// The same place in memory for all operations of a usual method: a search reads it once more for each.
    method: Cow<'static, str>,
    plain: Vec<Leaf<T>>,
    /// Leaves with a literal query part, by the first of them: an imported SOAP service has hundreds, `?soapAction=...`.
    keyed: Option<Box<Keyed<T>>>,
}

type Keyed<T> = IdMap<Box<str>, Vec<Leaf<T>>>;

/// A method in upper case.
fn upper(method: &str) -> Cow<'static, str> {
    const USUAL: [&str; 8] = [
        "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "*",
    ];
    match USUAL
        .iter()
        .find(|usual| usual.eq_ignore_ascii_case(method))
    {
        Some(usual) => Cow::Borrowed(usual),
        None => Cow::Owned(method.to_ascii_uppercase()),
    }
}

/// Children of a node by literal. A persistent map for two entries would take a kilobyte.
#[derive(Clone, Debug)]
enum Literals<T> {
    Few(Vec<(Box<str>, Branch<T>)>),
    /// In a box, because most nodes have few.
    Many(Box<FlatMap<Box<str>, Branch<T>>>),
}

/// What hangs below a place of the trie.
#[derive(Clone, Debug)]
enum Branch<T> {
    Node(Arc<Node<T>>),
    Only(Arc<Only<T>>),
}

/// A branch with one operation, whose template goes on with literals and parameters.
#[derive(Clone, Debug)]
struct Only<T> {
    leaf: Leaf<T>,
    /// As that of [`Ends`].
    method: Cow<'static, str>,
    rest: Rest,
}

/// Segments that are literals or parameters, one behind the other in one piece of memory: two bytes for the length of a literal, or
/// [`Rest::PARAMETER`], then the literal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rest(Box<[u8]>);

impl Rest {
    /// Stands for a parameter where the length of a literal would be.
    const PARAMETER: u16 = u16::MAX;

    /// The same with a segment in front, if it is one that can be kept so.
    fn behind(&self, segment: &Segment) -> Option<Self> {
        let (length, text) = match segment {
            Segment::Literal(literal) => {
                let length = u16::try_from(literal.len()).ok()?;
                (length, literal.as_bytes())
            }
            Segment::Parameter => (Self::PARAMETER, &[][..]),
            Segment::Mix(_) | Segment::Wildcard => return None,
        };
        // A literal of just that length would be taken for a parameter.
        if length == Self::PARAMETER && *segment != Segment::Parameter {
            return None;
        }
        Some(Self(
            [&length.to_le_bytes()[..], text, &self.0].concat().into(),
        ))
    }

    /// The first segment, a literal or `None` for a parameter, and what is behind it.
    fn split(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
        let (length, rest) = bytes.split_first_chunk()?;
        match u16::from_le_bytes(*length) {
            Self::PARAMETER => Some((None, rest)),
            length => {
                let (literal, rest) = rest.split_at_checked(usize::from(length))?;
                Some((Some(literal), rest))
            }
        }
    }
}

const FEW: usize = 16;

#[derive(Clone, Debug)]
struct Node<T> {
    literals: Literals<T>,
    parameter: Option<Branch<T>>,
    ends: Vec<Ends<T>>,
    /// Apart, because few nodes have them and there are many nodes.
    rare: Option<Box<Rare<T>>>,
}

#[derive(Clone, Debug)]
struct Rare<T> {
    /// More literal bytes first.
    mixes: Vec<(Mix, Branch<T>)>,
    wildcards: Vec<Ends<T>>,
}

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self {
            mixes: Vec::new(),
            wildcards: Vec::new(),
        }
    }
}

impl<T> Rare<T> {
    fn is_empty(&self) -> bool {
        self.mixes.is_empty() && self.wildcards.is_empty()
    }
}

/// Appends without room for more: most lists here have one entry for ever.
fn push<E>(list: &mut Vec<E>, entry: E) {
    list.reserve_exact(1);
    list.push(entry);
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self {
            literals: Literals::Few(Vec::new()),
            parameter: None,
            ends: Vec::new(),
            rare: None,
        }
    }
}

/// Operations by method and URL template.
#[derive(Clone, Debug)]
pub struct Matcher<T> {
    root: Arc<Node<T>>,
}

impl<T> Default for Matcher<T> {
    fn default() -> Self {
        Self {
            root: Arc::new(Node::default()),
        }
    }
}

/// The operation that a request is for.
#[derive(Debug)]
pub struct Found<'m, 'r, T> {
    /// What was inserted with the template.
    pub value: &'m T,
    tail: &'m Tail,
    path: Path<'r>,
    captures: Vec<Capture>,
    query: Vec<(&'m str, String)>,
}

#[derive(Clone, Debug)]
struct Capture {
    segment: usize,
    range: Range<usize>,
}

impl<'m, T> Found<'m, '_, T> {
    /// Names and decoded values of the template's parameters, path first.
    pub fn parameters(&self) -> impl Iterator<Item = (&'m str, &str)> {
        let captured = self.tail.names.len() - usize::from(self.tail.rest_at.is_some());
        let path = self
            .tail
            .names
            .iter()
            .enumerate()
            .map(
                move |(index, name)| match self.captures[..captured].get(index) {
                    Some(capture) => (
                        &**name,
                        &self.path.segments[capture.segment].text[capture.range.clone()],
                    ),
                    None => (
                        &**name,
                        self.path
                            .rest(self.tail.rest_at.map_or(usize::MAX, |at| at as usize)),
                    ),
                },
            );
        let query = self
            .query
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        path.chain(query)
    }
}

#[derive(Debug)]
struct PathSegment<'r> {
    text: Cow<'r, str>,
    lower: Cow<'r, str>,
    /// Where it begins in the path.
    at: usize,
}

#[derive(Debug)]
struct Path<'r> {
    text: &'r str,
    segments: Vec<PathSegment<'r>>,
}

impl<'r> Path<'r> {
    fn new(path: &'r str) -> Self {
        let text = path.strip_prefix('/').unwrap_or(path);
        let mut segments = Vec::with_capacity(8);
        let mut at = 0;
        while at < text.len() {
            // One pass, because segments are short: preparing a search costs more than they are long.
            let (mut is_escaped, mut has_upper) = (false, false);
            let rest = text.as_bytes()[at..].iter();
            let length = rest
                .take_while(|byte| {
                    is_escaped |= **byte == b'%';
                    has_upper |= byte.is_ascii_uppercase();
                    **byte != b'/'
                })
                .count();
            let end = at + length;
            let raw = &text[at..end];
            let text = if is_escaped {
                percent_decode_str(raw).decode_utf8_lossy()
            } else {
                Cow::Borrowed(raw)
            };
            let lower = if is_escaped || has_upper {
                Cow::Owned(text.to_ascii_lowercase())
            } else {
                text.clone()
            };
            segments.push(PathSegment { text, lower, at });
            at = end + 1;
        }
        Self { text, segments }
    }

    /// The raw path from a segment on.
    fn rest(&self, segment: usize) -> &'r str {
        self.segments
            .get(segment)
            .map_or("", |segment| &self.text[segment.at..])
    }
}

/// Names and values of a query, decoded: `+` is a space.
#[must_use]
pub fn query_pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name), decode(value))
        })
        .collect()
}

struct Search<'q, 'r> {
    method: &'q str,
    path: &'q Path<'r>,
    query: &'q str,
    pairs: OnceCell<Vec<(String, String)>>,
}

/// Values of a template's query, if it fits.
fn fit<'m>(template: &'m Tail, pairs: &[(String, String)]) -> Option<Vec<(&'m str, String)>> {
    let mut values = Vec::new();
    for part in &template.query {
        let mut given = pairs
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(&part.name))
            .map(|(_, value)| value);
        match &part.value {
            QueryValue::Literal(literal) => {
                given.find(|value| value.eq_ignore_ascii_case(literal))?;
            }
            QueryValue::Parameter(name) => values.push((&**name, given.next()?.clone())),
            QueryValue::Mix(mix, names) => {
                let (value, ranges) = given.find_map(|value| {
                    let mut ranges = Vec::new();
                    take_apart(mix, value, &mut ranges).then_some((value, ranges))
                })?;
                values.extend(
                    names
                        .iter()
                        .zip(ranges)
                        .map(|(name, range)| (&**name, value[range].to_owned())),
                );
            }
        }
    }
    Some(values)
}

impl<T> Leaf<T> {
    /// Greater is more specific.
    fn rank(&self) -> (usize, usize, Reverse<Uuid>) {
        let query = &self.tail.query;
        let literals = query
            .iter()
            .filter(|part| matches!(part.value, QueryValue::Literal(_)));
        (query.len(), literals.count(), Reverse(self.id))
    }
}

type Hit<'m, T> = (&'m Leaf<T>, Vec<(&'m str, String)>);

impl Search<'_, '_> {
    fn pairs(&self) -> &[(String, String)] {
        self.pairs.get_or_init(|| query_pairs(self.query))
    }

    fn end<'m, T>(&self, ends: &'m [Ends<T>]) -> Option<Hit<'m, T>> {
        let mut best: Option<Hit<'m, T>> = None;
        // The method's own operations before those for any method.
        for wanted in [self.method, "*"] {
            for ends in ends.iter().filter(|ends| *ends.method == *wanted) {
                for leaf in &ends.plain {
                    self.consider(leaf, &mut best);
                }
                if let Some(keyed) = &ends.keyed {
                    for (name, value) in self.pairs() {
                        let key =
                            query_key(&name.to_ascii_lowercase(), &value.to_ascii_lowercase());
                        for leaf in keyed.get(&key).into_iter().flatten() {
                            self.consider(leaf, &mut best);
                        }
                    }
                }
            }
            if best.is_some() {
                break;
            }
        }
        best
    }

    fn consider<'m, T>(&self, leaf: &'m Leaf<T>, best: &mut Option<Hit<'m, T>>) {
        if best
            .as_ref()
            .is_some_and(|(known, _)| known.rank() >= leaf.rank())
        {
            return;
        }
        if !leaf.has_query {
            *best = Some((leaf, Vec::new()));
        } else if let Some(values) = fit(&leaf.tail, self.pairs()) {
            *best = Some((leaf, values));
        }
    }

    fn descend<'m, T: Clone>(
        &self,
        node: &'m Node<T>,
        depth: usize,
        captures: &mut Vec<Capture>,
    ) -> Option<Hit<'m, T>> {
        let Some(segment) = self.path.segments.get(depth) else {
            return self.end(&node.ends).or_else(|| self.end(node.wildcards()));
        };
        let literal = match &node.literals {
            Literals::Few(few) => few
                .iter()
                .find(|(text, _)| **text == *segment.lower)
                .map(|(_, child)| child),
            Literals::Many(many) => many.get(&*segment.lower),
        };
        if let Some(hit) = literal.and_then(|child| self.follow(child, depth + 1, captures)) {
            return Some(hit);
        }
        let before = captures.len();
        for (mix, child) in node.mixes() {
            let mut ranges = Vec::new();
            if take_apart(mix, &segment.text, &mut ranges) {
                captures.extend(ranges.into_iter().map(|range| Capture {
                    segment: depth,
                    range,
                }));
                if let Some(hit) = self.follow(child, depth + 1, captures) {
                    return Some(hit);
                }
                captures.truncate(before);
            }
        }
        if let Some(child) = node.parameter.as_ref().filter(|_| !segment.text.is_empty()) {
            captures.push(Capture {
                segment: depth,
                range: 0..segment.text.len(),
            });
            if let Some(hit) = self.follow(child, depth + 1, captures) {
                return Some(hit);
            }
            captures.truncate(before);
        }
        self.end(node.wildcards())
    }

    fn follow<'m, T: Clone>(
        &self,
        branch: &'m Branch<T>,
        depth: usize,
        captures: &mut Vec<Capture>,
    ) -> Option<Hit<'m, T>> {
        let only = match branch {
            Branch::Node(node) => return self.descend(node, depth, captures),
            Branch::Only(only) => only,
        };
        let before = captures.len();
        let hit = self.reach(only, depth, captures);
        if hit.is_none() {
            captures.truncate(before);
        }
        hit
    }

    fn reach<'m, T>(
        &self,
        only: &'m Only<T>,
        depth: usize,
        captures: &mut Vec<Capture>,
    ) -> Option<Hit<'m, T>> {
        let mut rest = &*only.rest.0;
        for (at, segment) in self.path.segments.iter().enumerate().skip(depth) {
            let (literal, behind) = Rest::split(rest)?;
            match literal {
                Some(literal) if *literal != *segment.lower.as_bytes() => return None,
                Some(_) => {}
                None if segment.text.is_empty() => return None,
                None => captures.push(Capture {
                    segment: at,
                    range: 0..segment.text.len(),
                }),
            }
            rest = behind;
        }
        if !rest.is_empty() || *only.method != *self.method && only.method != "*" {
            return None;
        }
        let mut best = None;
        self.consider(&only.leaf, &mut best);
        best
    }
}

impl<T: Clone> Branch<T> {
    /// The branch as a node of its own, to be changed.
    fn open(self) -> Node<T> {
        let only = match self {
            Self::Node(node) => return Arc::unwrap_or_clone(node),
            Self::Only(only) => Arc::unwrap_or_clone(only),
        };
        let mut node = Node::default();
        let Some((first, behind)) = Rest::split(&only.rest.0) else {
            push(
                &mut node.ends,
                Ends {
                    method: only.method,
                    plain: vec![only.leaf],
                    keyed: None,
                },
            );
            return node;
        };
        // What was text is text again.
        let literal = first.map(|literal| Box::from(String::from_utf8_lossy(literal)));
        let below = Self::Only(Arc::new(Only {
            rest: Rest(behind.into()),
            leaf: only.leaf,
            method: only.method,
        }));
        match literal {
            Some(literal) => node.literals = Literals::Few(vec![(literal, below)]),
            None => node.parameter = Some(below),
        }
        node
    }

    /// A node in the form that is read soonest; `None` when it leads nowhere.
    fn close(node: Node<T>) -> Option<Self> {
        if node.is_empty() {
            return None;
        }
        Some(match node.only() {
            Some(only) => Self::Only(Arc::new(only)),
            None => Self::Node(Arc::new(node)),
        })
    }

    /// Applies a change below; `None` when nothing is left.
    fn changed(
        branch: Option<Self>,
        segments: &[Segment],
        edit: &mut dyn FnMut(&mut Vec<Ends<T>>),
    ) -> Option<Self> {
        let mut node = branch.map_or_else(Node::default, Self::open);
        node.change(segments, edit);
        Self::close(node)
    }
}

impl<T> Node<T> {
    fn mixes(&self) -> &[(Mix, Branch<T>)] {
        self.rare.as_ref().map_or(&[], |rare| &rare.mixes)
    }

    fn wildcards(&self) -> &[Ends<T>] {
        self.rare.as_ref().map_or(&[], |rare| &rare.wildcards)
    }
}

impl<T: Clone> Node<T> {
    fn change_rare(&mut self, edit: impl FnOnce(&mut Rare<T>)) {
        let mut rare = self.rare.take().unwrap_or_default();
        edit(&mut rare);
        self.rare = (!rare.is_empty()).then_some(rare);
    }

    fn is_empty(&self) -> bool {
        let no_literals = match &self.literals {
            Literals::Few(few) => few.is_empty(),
            Literals::Many(many) => many.is_empty(),
        };
        no_literals && self.parameter.is_none() && self.ends.is_empty() && self.rare.is_none()
    }

    /// The one operation that the node leads to, if that can be kept without it.
    fn only(&self) -> Option<Only<T>> {
        let literals = match &self.literals {
            Literals::Few(few) => &few[..],
            Literals::Many(_) => return None,
        };
        if self.rare.is_some() {
            return None;
        }
        match (literals, &self.parameter, &self.ends[..]) {
            ([], None, [ends]) if ends.keyed.is_none() => {
                let [leaf] = &ends.plain[..] else { return None };
                Some(Only {
                    leaf: leaf.clone(),
                    method: ends.method.clone(),
                    rest: Rest::default(),
                })
            }
            ([(literal, Branch::Only(only))], None, []) => {
                only.behind(&Segment::Literal(literal.clone()))
            }
            ([], Some(Branch::Only(only)), []) => only.behind(&Segment::Parameter),
            _ => None,
        }
    }

    /// Applies a change where the segments lead, copying the nodes on the way that other snapshots share.
    fn change(&mut self, segments: &[Segment], edit: &mut dyn FnMut(&mut Vec<Ends<T>>)) {
        let Some((first, rest)) = segments.split_first() else {
            return edit(&mut self.ends);
        };
        match first {
            Segment::Wildcard => self.change_rare(|rare| edit(&mut rare.wildcards)),
            Segment::Parameter => {
                self.parameter = Branch::changed(self.parameter.take(), rest, edit);
            }
            Segment::Mix(mix) => self.change_rare(|rare| {
                let place = rare.mixes.iter().position(|(known, _)| known == mix);
                let child = place.map(|at| rare.mixes.remove(at).1);
                if let Some(child) = Branch::changed(child, rest, edit) {
                    let rank = |mix: &Mix| {
                        let literal: usize = mix.iter().map(|text| text.len()).sum();
                        (Reverse(literal), mix.clone())
                    };
                    let at = rare
                        .mixes
                        .partition_point(|(known, _)| rank(known) < rank(mix));
                    rare.mixes.insert(at, (mix.clone(), child));
                }
            }),
            Segment::Literal(literal) => {
                let child = match &mut self.literals {
                    Literals::Few(few) => few
                        .iter()
                        .position(|(known, _)| known == literal)
                        .map(|at| few.swap_remove(at).1),
                    Literals::Many(many) => many.remove(literal),
                };
                let Some(child) = Branch::changed(child, rest, edit) else {
                    return;
                };
                match &mut self.literals {
                    Literals::Few(few) if few.len() >= FEW => {
                        let mut many = Box::new(FlatMap::default());
                        for (literal, child) in few.drain(..).chain([(literal.clone(), child)]) {
                            many.insert(literal, child);
                        }
                        self.literals = Literals::Many(many);
                    }
                    Literals::Few(few) => push(few, (literal.clone(), child)),
                    Literals::Many(many) => {
                        many.insert(literal.clone(), child);
                    }
                }
            }
        }
    }
}

impl<T: Clone> Only<T> {
    /// The same with a segment in front of its rest.
    fn behind(&self, segment: &Segment) -> Option<Self> {
        Some(Self {
            rest: self.rest.behind(segment)?,
            ..self.clone()
        })
    }
}

impl<T: Clone> Matcher<T> {
    /// Adds an operation, or replaces the one with the same method, template and id. Methods are compared in upper case; `*` is any.
    pub fn insert(&mut self, method: &str, template: &str, id: Uuid, value: T) {
        let template = Template::new(template);
        let tail = Arc::new(template.tail.clone());
        let method = upper(method);
        let leaf = Leaf {
            id,
            has_query: !tail.query.is_empty(),
            tail,
            value,
        };
        Arc::make_mut(&mut self.root).change(&template.segments, &mut |ends| {
            let place = ends.iter().position(|ends| ends.method == method);
            let at = place.unwrap_or_else(|| {
                let fresh = Ends {
                    method: method.clone(),
                    plain: Vec::new(),
                    keyed: None,
                };
                push(ends, fresh);
                ends.len() - 1
            });
            let ends = &mut ends[at];
            let leaves = match template.key() {
                Some(key) => ends.keyed.get_or_insert_default().entry(key).or_default(),
                None => &mut ends.plain,
            };
            leaves.retain(|known| known.id != id);
            push(leaves, leaf.clone());
        });
    }

    /// Removes the operation that was inserted with these.
    pub fn remove(&mut self, method: &str, template: &str, id: Uuid) {
        let template = Template::new(template);
        let method = upper(method);
        Arc::make_mut(&mut self.root).change(&template.segments, &mut |all| {
            for ends in all.iter_mut().filter(|ends| ends.method == method) {
                ends.plain.retain(|leaf| leaf.id != id);
                if let Some(key) = template.key()
                    && let Some(keyed) = &mut ends.keyed
                    && let Some(leaves) = keyed.get_mut(&key)
                {
                    leaves.retain(|leaf| leaf.id != id);
                    if leaves.is_empty() {
                        keyed.remove(&key);
                    }
                }
            }
            all.retain(|ends| {
                !ends.plain.is_empty() || ends.keyed.as_ref().is_some_and(|keyed| !keyed.is_empty())
            });
        });
    }

    /// Finds the operation of a request. `path` is what follows the API's own path; `query` has no `?`.
    #[must_use]
    pub fn find<'r>(&self, method: &str, path: &'r str, query: &str) -> Option<Found<'_, 'r, T>> {
        let path = Path::new(path);
        let mut captures = Vec::new();
        let search = Search {
            method,
            path: &path,
            query,
            pairs: OnceCell::new(),
        };
        let (leaf, query) = search.descend(&self.root, 0, &mut captures)?;
        Some(Found {
            value: &leaf.value,
            tail: &leaf.tail,
            path,
            captures,
            query,
        })
    }
}
