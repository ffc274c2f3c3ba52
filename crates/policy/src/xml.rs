//! The XML reader of policy documents.
//!
//! Own code rather than a library, because the `rawxml` format is not XML: attribute values and texts that begin with `@(` or `@{`
//! are C# and may hold quotes, `<` and `&`. Reading them in place keeps every position exact, which escaping them first would not.
//! There is no DTD, no external entity and no namespace handling, so nothing can expand or be fetched.

/// How a policy text writes its expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Well-formed XML: expressions are escaped like any other text.
    Xml,
    /// Expressions stand unescaped (`rawxml`).
    RawXml,
}

const DEPTH_LIMIT: usize = 64;

/// Decoded text that remembers where its parts come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Text {
    pub(crate) value: String,
    /// (offset in `value`, offset in the source), ascending.
    pieces: Vec<(usize, usize)>,
}

impl Text {
    pub(crate) fn start(&self) -> usize {
        self.pieces.first().map_or(0, |piece| piece.1)
    }

    /// Source offset of a byte of `value`.
    pub(crate) fn locate(&self, at: usize) -> usize {
        let index = self.pieces.partition_point(|piece| piece.0 <= at);
        index.checked_sub(1).map_or(0, |index| {
            let (value, source) = self.pieces[index];
            source + (at - value)
        })
    }

    fn push(&mut self, text: &str, source: usize) {
        self.pieces.push((self.value.len(), source));
        self.value.push_str(text);
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    pub(crate) at: usize,
    pub(crate) value: Text,
}

#[derive(Clone, Debug)]
pub(crate) enum Node {
    Element(Element),
    Text(Text),
    Comment(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) at: usize,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) children: Vec<Node>,
}

impl Element {
    pub(crate) fn elements(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) | Node::Comment(_) => None,
        })
    }

    /// All text directly inside, comments left out.
    pub(crate) fn text(&self) -> Text {
        let mut all = Text::default();
        for node in &self.children {
            if let Node::Text(text) = node {
                let base = all.value.len();
                all.pieces.extend(
                    text.pieces
                        .iter()
                        .map(|(value, source)| (base + value, *source)),
                );
                all.value.push_str(&text.value);
            }
        }
        if all.pieces.is_empty() {
            all.pieces.push((0, self.at));
        }
        all
    }
}

/// A well-formed document: comments before the root, the root, comments after it.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) before: Vec<String>,
    pub(crate) root: Element,
    pub(crate) after: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Malformed {
    pub(crate) at: usize,
    pub(crate) message: String,
}

struct Reader<'a> {
    source: &'a str,
    at: usize,
    format: Format,
}

type Read<T> = Result<T, Malformed>;

pub(crate) fn read(source: &str, format: Format) -> Read<Tree> {
    let mut reader = Reader {
        source,
        at: 0,
        format,
    };
    if source.starts_with('\u{feff}') {
        reader.at = '\u{feff}'.len_utf8();
    }
    let before = reader.misc()?;
    if !reader.rest().starts_with('<') {
        return reader.fail(reader.at, "Root element is missing.");
    }
    let root = reader.element(0)?;
    let after = reader.misc()?;
    if reader.at < source.len() {
        return reader.fail(
            reader.at,
            "There are multiple root elements or text after the root element.",
        );
    }
    Ok(Tree {
        before,
        root,
        after,
    })
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn fail<T>(&self, at: usize, message: impl Into<String>) -> Read<T> {
        Err(Malformed {
            at,
            message: message.into(),
        })
    }

    fn space(&mut self) -> bool {
        let rest = self.rest();
        let trimmed = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        self.at += rest.len() - trimmed.len();
        trimmed.len() < rest.len()
    }

    /// Skips white space, the declaration and processing instructions; returns comments.
    fn misc(&mut self) -> Read<Vec<String>> {
        let mut comments = Vec::new();
        loop {
            self.space();
            if self.rest().starts_with("<?") {
                match self.rest().find("?>") {
                    Some(end) => self.at += end + 2,
                    None => return self.fail(self.at, "Processing instruction is not closed."),
                }
            } else if self.rest().starts_with("<!--") {
                comments.push(self.comment()?);
            } else if self.rest().starts_with("<!") {
                return self.fail(self.at, "DTD is prohibited in a policy document.");
            } else {
                return Ok(comments);
            }
        }
    }

    fn comment(&mut self) -> Read<String> {
        let body = self.at + 4;
        match self.source[body..].find("-->") {
            Some(end) => {
                self.at = body + end + 3;
                Ok(self.source[body..body + end].to_owned())
            }
            None => self.fail(self.at, "Comment is not closed."),
        }
    }

    fn name(&mut self) -> Read<String> {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':')))
            .unwrap_or(rest.len());
        let name = &rest[..end];
        if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return match rest.chars().next() {
                Some(c) => self.fail(
                    self.at,
                    format!("A name cannot begin with the '{c}' character."),
                ),
                None => self.fail(self.at, "Unexpected end of file."),
            };
        }
        self.at += end;
        Ok(name.to_owned())
    }

    fn element(&mut self, depth: usize) -> Read<Element> {
        let at = self.at;
        if depth >= DEPTH_LIMIT {
            return self.fail(
                at,
                format!("Elements are nested deeper than {DEPTH_LIMIT} levels."),
            );
        }
        self.at += 1;
        let name = self.name()?;
        let mut attributes: Vec<Attribute> = Vec::new();
        loop {
            let spaced = self.space();
            let rest = self.rest();
            if rest.starts_with("/>") {
                self.at += 2;
                return Ok(Element {
                    name,
                    at,
                    attributes,
                    children: Vec::new(),
                });
            }
            if rest.starts_with('>') {
                self.at += 1;
                break;
            }
            if rest.is_empty() {
                return self.fail(
                    self.at,
                    format!("Unexpected end of file in the start tag '{name}'."),
                );
            }
            if !spaced {
                return self.fail(self.at, "White space is expected before an attribute name.");
            }
            let attribute = self.attribute()?;
            if attributes.iter().any(|other| other.name == attribute.name) {
                return self.fail(
                    attribute.at,
                    format!("'{}' is a duplicate attribute name.", attribute.name),
                );
            }
            attributes.push(attribute);
        }
        let children = self.content(&name, at, depth)?;
        Ok(Element {
            name,
            at,
            attributes,
            children,
        })
    }

    fn attribute(&mut self) -> Read<Attribute> {
        let at = self.at;
        let name = self.name()?;
        self.space();
        if !self.rest().starts_with('=') {
            return self.fail(
                self.at,
                format!("'=' is expected after the attribute name '{name}'."),
            );
        }
        self.at += 1;
        self.space();
        let quote = match self.rest().chars().next() {
            Some(quote @ ('"' | '\'')) => quote,
            _ => {
                return self.fail(
                    self.at,
                    format!("The value of attribute '{name}' must be quoted."),
                );
            }
        };
        self.at += 1;
        let start = self.at;
        let mut value = Text::default();
        value.pieces.push((0, start));
        if self.format == Format::RawXml && is_expression(self.rest()) {
            let end = self.expression_end(start)?;
            value.push(&self.source[start..end], start);
            self.at = end;
            self.space();
            if !self.rest().starts_with(quote) {
                return self.fail(
                    self.at,
                    format!(
                        "The closing quote of attribute '{name}' is expected after the expression."
                    ),
                );
            }
        } else {
            let Some(length) = self.rest().find(quote) else {
                return self.fail(
                    start,
                    format!("The value of attribute '{name}' is not closed."),
                );
            };
            if let Some(less) = self.rest()[..length].find('<') {
                return self.fail(start + less, "'<' is an invalid attribute character; write '&lt;', or use format rawxml for expressions.");
            }
            self.decode(start, start + length, &mut value)?;
            self.at = start + length;
        }
        self.at += 1;
        Ok(Attribute { name, at, value })
    }

    fn expression_end(&self, start: usize) -> Read<usize> {
        match end_of_expression(&self.source[start..]) {
            Some(length) => Ok(start + length),
            None => self.fail(start, "The expression is not closed."),
        }
    }

    fn content(&mut self, name: &str, opened: usize, depth: usize) -> Read<Vec<Node>> {
        let mut children = Vec::new();
        loop {
            let rest = self.rest();
            if rest.is_empty() {
                return self.fail(opened, format!("The element '{name}' is not closed."));
            } else if rest.starts_with("</") {
                let at = self.at;
                self.at += 2;
                let end = self.name()?;
                if end != name {
                    return self.fail(
                        at,
                        format!("The start tag '{name}' does not match the end tag of '{end}'."),
                    );
                }
                self.space();
                if !self.rest().starts_with('>') {
                    return self.fail(
                        self.at,
                        format!("'>' is expected to close the end tag '{end}'."),
                    );
                }
                self.at += 1;
                return Ok(children);
            } else if rest.starts_with("<!--") {
                children.push(Node::Comment(self.comment()?));
            } else if rest.starts_with("<![CDATA[") {
                let start = self.at + 9;
                let Some(length) = self.source[start..].find("]]>") else {
                    return self.fail(self.at, "CDATA section is not closed.");
                };
                let mut text = Text::default();
                text.push(&self.source[start..start + length], start);
                children.push(Node::Text(text));
                self.at = start + length + 3;
            } else if rest.starts_with("<?") {
                match rest.find("?>") {
                    Some(end) => self.at += end + 2,
                    None => return self.fail(self.at, "Processing instruction is not closed."),
                }
            } else if rest.starts_with('<') {
                children.push(Node::Element(self.element(depth + 1)?));
            } else {
                let mut text = Text::default();
                let start = self.at;
                let trimmed = rest.trim_start();
                if self.format == Format::RawXml && is_expression(trimmed) {
                    let end = self.expression_end(start + rest.len() - trimmed.len())?;
                    text.push(&self.source[start..end], start);
                    self.at = end;
                }
                let from = self.at;
                let length = self.rest().find('<').unwrap_or(self.rest().len());
                self.decode(from, from + length, &mut text)?;
                self.at = from + length;
                children.push(Node::Text(text));
            }
        }
    }

    fn decode(&self, start: usize, end: usize, into: &mut Text) -> Read<()> {
        let mut at = start;
        while let Some(amp) = self.source[at..end].find('&') {
            into.push(&self.source[at..at + amp], at);
            at += amp;
            let Some(semicolon) = self.source[at..end]
                .find(';')
                .filter(|length| *length <= 10)
            else {
                return self.fail(at, "'&' must be written '&amp;'.");
            };
            let entity = &self.source[at + 1..at + semicolon];
            let decoded = match entity {
                "lt" => Some('<'),
                "gt" => Some('>'),
                "amp" => Some('&'),
                "quot" => Some('"'),
                "apos" => Some('\''),
                _ => entity.strip_prefix('#').and_then(|number| {
                    match number.strip_prefix('x') {
                        Some(hex) => u32::from_str_radix(hex, 16).ok(),
                        None => number.parse().ok(),
                    }
                    .and_then(char::from_u32)
                }),
            };
            let Some(decoded) = decoded else {
                return self.fail(at, format!("Reference to undeclared entity '{entity}'."));
            };
            into.push(decoded.encode_utf8(&mut [0; 4]), at);
            at += semicolon + 1;
        }
        into.push(&self.source[at..end], at);
        Ok(())
    }
}

/// Whether a value is an expression: `@(...)` or `@{...}`.
pub(crate) fn is_expression(text: &str) -> bool {
    text.starts_with("@(") || text.starts_with("@{")
}

/// Length of the expression that `text` begins with, from `@` to its closing bracket; strings and comments of C# are skipped.
pub(crate) fn end_of_expression(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    let mut open: Vec<u8> = Vec::new();
    while at < bytes.len() {
        match bytes[at] {
            bracket @ (b'(' | b'{' | b'[') => {
                open.push(match bracket {
                    b'(' => b')',
                    b'{' => b'}',
                    _ => b']',
                });
                at += 1;
            }
            bracket @ (b')' | b'}' | b']') => {
                if open.pop() != Some(bracket) {
                    return None;
                }
                at += 1;
                if open.is_empty() {
                    return Some(at);
                }
            }
            b'"' => at = end_of_string(bytes, at)?,
            b'@' | b'$' => {
                let quote = bytes[at..]
                    .iter()
                    .take_while(|b| matches!(b, b'@' | b'$'))
                    .count();
                if bytes.get(at + quote) == Some(&b'"') {
                    let prefix = &bytes[at..at + quote];
                    at = end_of_prefixed(
                        bytes,
                        at + quote,
                        prefix.contains(&b'@'),
                        prefix.contains(&b'$'),
                        0,
                    )?;
                } else {
                    at += quote;
                }
            }
            b'\'' => {
                at += 1;
                while *bytes.get(at)? != b'\'' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                while at < bytes.len() && bytes[at] != b'\n' {
                    at += 1;
                }
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at += 2 + text.get(at + 2..)?.find("*/")? + 2
            }
            _ => at += 1,
        }
    }
    None
}

fn end_of_string(bytes: &[u8], at: usize) -> Option<usize> {
    end_of_prefixed(bytes, at, false, false, 0)
}

/// End of a string literal whose quote is at `at`.
fn end_of_prefixed(
    bytes: &[u8],
    at: usize,
    verbatim: bool,
    interpolated: bool,
    depth: usize,
) -> Option<usize> {
    if depth > DEPTH_LIMIT {
        return None;
    }
    let mut at = at + 1;
    loop {
        match *bytes.get(at)? {
            b'"' if verbatim && bytes.get(at + 1) == Some(&b'"') => at += 2,
            b'"' => return Some(at + 1),
            b'\\' if !verbatim => at += 2,
            b'{' if interpolated && bytes.get(at + 1) == Some(&b'{') => at += 2,
            b'{' if interpolated => {
                let mut braces = 1;
                at += 1;
                while braces > 0 {
                    match *bytes.get(at)? {
                        b'{' => braces += 1,
                        b'}' => braces -= 1,
                        b'"' => {
                            at = end_of_prefixed(
                                bytes,
                                at,
                                false,
                                bytes[at - 1] == b'$',
                                depth + 1,
                            )?;
                            continue;
                        }
                        _ => {}
                    }
                    at += 1;
                }
            }
            _ => at += 1,
        }
    }
}

/// Writes a tree as the contract returns it: CRLF and tabs, comments kept, the XML declaration lost.
pub(crate) fn write(tree: &Tree, format: Format) -> String {
    let mut out = String::new();
    for comment in &tree.before {
        out.push_str(&format!("<!--{comment}-->\r\n"));
    }
    write_element(&tree.root, format, 0, &mut out);
    for comment in &tree.after {
        out.push_str(&format!("\r\n<!--{comment}-->"));
    }
    out
}

fn indent(depth: usize, out: &mut String) {
    out.push_str("\r\n");
    out.extend(std::iter::repeat_n('\t', depth));
}

fn write_element(element: &Element, format: Format, depth: usize, out: &mut String) {
    out.push('<');
    out.push_str(&element.name);
    for attribute in &element.attributes {
        out.push(' ');
        out.push_str(&attribute.name);
        out.push_str("=\"");
        let value = &attribute.value.value;
        if format == Format::RawXml
            && is_expression(value)
            && end_of_expression(value) == Some(value.len())
        {
            out.push_str(value);
        } else {
            escape(value, true, out);
        }
        out.push('"');
    }
    let blank = |node: &Node| matches!(node, Node::Text(text) if text.value.trim().is_empty());
    if element.children.iter().all(blank) {
        out.push_str(" />");
        return;
    }
    out.push('>');
    let mixed = element
        .children
        .iter()
        .any(|node| matches!(node, Node::Text(_)) && !blank(node));
    if mixed {
        for node in &element.children {
            match node {
                Node::Text(text) => write_text(&text.value, format, out),
                Node::Comment(comment) => out.push_str(&format!("<!--{comment}-->")),
                // The white space between is the author's, for example a template of set-body.
                Node::Element(child) => write_element(child, format, depth + 1, out),
            }
        }
    } else {
        for node in &element.children {
            match node {
                Node::Text(_) => {}
                Node::Comment(comment) => {
                    indent(depth + 1, out);
                    out.push_str(&format!("<!--{comment}-->"));
                }
                Node::Element(child) => {
                    indent(depth + 1, out);
                    write_element(child, format, depth + 1, out);
                }
            }
        }
        indent(depth, out);
    }
    out.push_str("</");
    out.push_str(&element.name);
    out.push('>');
}

fn write_text(text: &str, format: Format, out: &mut String) {
    let trimmed = text.trim();
    if format == Format::RawXml
        && is_expression(trimmed)
        && end_of_expression(trimmed) == Some(trimmed.len())
    {
        out.push_str(text);
    } else {
        escape(text, false, out);
    }
}

pub(crate) fn escape(text: &str, quotes: bool, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if quotes => out.push_str("&quot;"),
            _ => out.push(c),
        }
    }
}
