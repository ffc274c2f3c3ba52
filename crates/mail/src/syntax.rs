//! The contract's template syntax, translated to Liquid.
//!
//! Templates of the contract use a small part of Velocity: `$Name`, `${Name}`, `$!Name`, `$item.Name`,
//! `#if (..) #elseif (..) #else #end`, `#foreach ($item in $List) #end`, `\$` for a plain dollar.
//! Portico also accepts Liquid. Translating the first to the second, instead of rendering twice, keeps
//! values that look like a template from being executed, and leaves one engine to understand.

use std::collections::BTreeSet;

/// A template in Liquid, every output of which passes through `escape` if it is HTML.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Translated {
    pub(crate) liquid: String,
    /// Variables it reads that it does not define itself, with the line of the first use.
    pub(crate) reads: Vec<(String, usize)>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    pub(crate) line: usize,
    pub(crate) message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Html,
    Text,
}

enum Block {
    If,
    Foreach,
}

/// Translates a template of either syntax, or both mixed.
pub(crate) fn translate(source: &str, output: Output) -> Result<Translated, SyntaxError> {
    let mut translation = Translation {
        source,
        position: 0,
        output,
        liquid: String::with_capacity(source.len()),
        reads: Vec::new(),
        locals: BTreeSet::new(),
        blocks: Vec::new(),
    };
    translation.run()?;
    let Translation {
        liquid,
        mut reads,
        locals,
        ..
    } = translation;
    reads.retain(|(name, _)| !locals.contains(name));
    Ok(Translated { liquid, reads })
}

struct Translation<'a> {
    source: &'a str,
    position: usize,
    output: Output,
    liquid: String,
    reads: Vec<(String, usize)>,
    /// Names that the template defines: of loops, `assign`, `capture`.
    locals: BTreeSet<String>,
    blocks: Vec<(Block, usize)>,
}

impl<'a> Translation<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.position..]
    }

    fn line(&self) -> usize {
        self.source[..self.position].matches('\n').count() + 1
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError {
            line: self.line(),
            message: message.into(),
        })
    }

    fn read(&mut self, name: &str) {
        if !self.reads.iter().any(|(known, _)| known == name) {
            let line = self.line();
            self.reads.push((name.to_owned(), line));
        }
    }

    fn run(&mut self) -> Result<(), SyntaxError> {
        while let Some(character) = self.rest().chars().next() {
            let rest = self.rest();
            if rest.starts_with("{{") {
                self.liquid_output()?;
            } else if rest.starts_with("{%") {
                self.liquid_tag()?;
            } else if rest.starts_with("\\$") {
                self.liquid.push('$');
                self.position += 2;
            } else if character == '$'
                && let Some((path, length)) = reference(rest)
            {
                self.read(root(&path));
                self.position += length;
                self.drop_scheme_before(&path);
                self.write_output(&path);
            } else if character == '#'
                && let Some((word, length)) = directive(rest)
            {
                self.directive(word, length)?;
            } else {
                self.liquid.push(character);
                self.position += character.len_utf8();
            }
        }
        match self.blocks.pop() {
            None => Ok(()),
            Some((block, line)) => {
                let word = if matches!(block, Block::If) {
                    "#if"
                } else {
                    "#foreach"
                };
                Err(SyntaxError {
                    line,
                    message: format!("`{word}` has no `#end`"),
                })
            }
        }
    }

    /// The contract's own templates say `http://$DevPortalUrl`; Portico's value has its scheme already.
    fn drop_scheme_before(&mut self, path: &str) {
        if path == "DevPortalUrl" {
            let kept = ["https://", "http://"]
                .iter()
                .find_map(|scheme| self.liquid.strip_suffix(scheme))
                .map(str::len);
            self.liquid.truncate(kept.unwrap_or(self.liquid.len()));
        }
    }

    /// Escaping comes last, whatever filters ran before it.
    fn write_output(&mut self, expression: &str) {
        let last_filter = expression.rsplit('|').next().map_or("", str::trim);
        let escape =
            if self.output == Output::Html && !matches!(last_filter, "escape" | "escape_once") {
                " | escape"
            } else {
                ""
            };
        self.liquid
            .push_str(&format!("{{{{ {expression}{escape} }}}}"));
    }

    fn liquid_output(&mut self) -> Result<(), SyntaxError> {
        let Some(end) = self.rest().find("}}") else {
            return self.error("`{{` has no `}}`");
        };
        let inside = self.rest()[2..end].trim_matches('-').trim();
        if inside.is_empty() {
            return self.error("`{{ }}` is empty");
        }
        for name in names(inside) {
            self.read(&name);
        }
        self.position += end + 2;
        self.write_output(inside);
        Ok(())
    }

    fn liquid_tag(&mut self) -> Result<(), SyntaxError> {
        let Some(end) = self.rest().find("%}") else {
            return self.error("`{%` has no `%}`");
        };
        let whole = &self.rest()[..end + 2];
        let inside = whole[2..end].trim_matches('-').trim();
        let (tag, arguments) = inside
            .split_once(char::is_whitespace)
            .unwrap_or((inside, ""));
        match tag {
            "for" | "tablerow" => {
                let Some((item, list)) = arguments.split_once(" in ") else {
                    return self.error(format!("`{tag}` needs `item in list`"));
                };
                self.locals.insert(item.trim().to_owned());
                self.locals.insert("forloop".to_owned());
                names(list).iter().for_each(|name| self.read(name));
            }
            "assign" => {
                let Some((target, value)) = arguments.split_once('=') else {
                    return self.error("`assign` needs `name = value`");
                };
                self.locals.insert(target.trim().to_owned());
                names(value).iter().for_each(|name| self.read(name));
            }
            "capture" => {
                self.locals.insert(arguments.trim().to_owned());
            }
            "if" | "elsif" | "unless" | "case" | "when" => {
                names(arguments).iter().for_each(|name| self.read(name))
            }
            "else" | "endif" | "endunless" | "endcase" | "endfor" | "endtablerow"
            | "endcapture" | "break" | "continue" | "comment" | "endcomment" => {}
            _ => return self.error(format!("`{{% {tag} %}}` is not supported in a mail")),
        }
        self.liquid.push_str(whole);
        self.position += whole.len();
        Ok(())
    }

    fn directive(&mut self, word: &str, length: usize) -> Result<(), SyntaxError> {
        match word {
            "if" | "elseif" => {
                let (condition, consumed) = self.parenthesised(word, length)?;
                let condition = self.condition(&condition)?;
                if word == "if" {
                    self.blocks.push((Block::If, self.line()));
                    self.liquid.push_str(&format!("{{% if {condition} %}}"));
                } else if matches!(self.blocks.last(), Some((Block::If, _))) {
                    self.liquid.push_str(&format!("{{% elsif {condition} %}}"));
                } else {
                    return self.error("`#elseif` without `#if`");
                }
                self.position += consumed;
            }
            "foreach" => {
                let (inside, consumed) = self.parenthesised(word, length)?;
                let parts = inside.split_once(" in ").and_then(|(item, list)| {
                    let (item, list) = (item.trim(), list.trim());
                    let (item, item_length) =
                        reference(item).filter(|(_, length)| *length == item.len())?;
                    let (list, _) = reference(list).filter(|(_, length)| *length == list.len())?;
                    (item_length > 1).then_some((item, list))
                });
                let Some((item, list)) = parts else {
                    return self.error("`#foreach` needs `($item in $List)`");
                };
                self.read(root(&list));
                self.blocks.push((Block::Foreach, self.line()));
                self.liquid
                    .push_str(&format!("{{% for {item} in {list} %}}"));
                self.locals.insert(item);
                self.position += consumed;
            }
            "else" => {
                if !matches!(self.blocks.last(), Some((Block::If, _))) {
                    return self.error("`#else` without `#if`");
                }
                self.liquid.push_str("{% else %}");
                self.position += length;
            }
            "end" => {
                match self.blocks.pop() {
                    Some((Block::If, _)) => self.liquid.push_str("{% endif %}"),
                    Some((Block::Foreach, _)) => self.liquid.push_str("{% endfor %}"),
                    None => return self.error("`#end` without `#if` or `#foreach`"),
                }
                self.position += length;
            }
            _ => return self.error(format!("`#{word}` is not supported in a mail")),
        }
        Ok(())
    }

    /// What stands in the parentheses after a directive, and the length of all.
    fn parenthesised(&self, word: &str, length: usize) -> Result<(String, usize), SyntaxError> {
        let after = &self.rest()[length..];
        let opening = after.len() - after.trim_start().len();
        if !after[opening..].starts_with('(') {
            return self.error(format!("`#{word}` needs parentheses"));
        }
        let (mut depth, mut quote) = (0_usize, None);
        for (offset, character) in after[opening..].char_indices() {
            match (quote, character) {
                (Some(open), _) if open == character => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') => quote = Some(character),
                (None, '(') => depth += 1,
                (None, ')') => {
                    depth -= 1;
                    if depth == 0 {
                        let end = opening + offset;
                        return Ok((after[opening + 1..end].trim().to_owned(), length + end + 1));
                    }
                }
                (None, _) => {}
            }
        }
        self.error(format!("`#{word}` has no closing parenthesis"))
    }

    /// `$A`, `!$A`, comparisons, `&&`/`and`, `||`/`or`. An empty value counts as absent.
    fn condition(&mut self, source: &str) -> Result<String, SyntaxError> {
        // In HTML the operators may be written as entities.
        let source = source
            .replace("&amp;", "&")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"");
        let tokens = self.tokens(&source)?;
        let mut result = String::new();
        let mut tokens = tokens.iter().map(String::as_str).peekable();
        loop {
            let negated = tokens
                .next_if(|token| matches!(*token, "!" | "not"))
                .is_some();
            let Some(operand) = tokens.next().filter(|token| is_operand(token)) else {
                return self.error(format!("cannot understand the condition `{source}`"));
            };
            let comparison =
                tokens.next_if(|token| matches!(*token, "==" | "!=" | "<" | ">" | "<=" | ">="));
            match (comparison, negated) {
                (Some(operator), false) => match tokens.next().filter(|token| is_operand(token)) {
                    Some(other) => result.push_str(&format!("{operand} {operator} {other}")),
                    None => {
                        return self.error(format!("cannot understand the condition `{source}`"));
                    }
                },
                (Some(_), true) => {
                    return self.error(
                        "`!` before a comparison is not supported; use the opposite operator",
                    );
                }
                (None, false) => result.push_str(&format!("{operand} != blank")),
                (None, true) => result.push_str(&format!("{operand} == blank")),
            }
            match tokens.next() {
                None => return Ok(result),
                Some("&&" | "and") => result.push_str(" and "),
                Some("||" | "or") => result.push_str(" or "),
                Some(other) => {
                    return self.error(format!(
                        "cannot understand `{other}` in the condition `{source}`"
                    ));
                }
            }
        }
    }

    fn tokens(&mut self, source: &str) -> Result<Vec<String>, SyntaxError> {
        let mut tokens = Vec::new();
        let mut rest = source.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if let Some((path, length)) = reference(rest) {
                self.read(root(&path));
                tokens.push(path);
                length
            } else if matches!(first, '"' | '\'') {
                let Some(end) = rest[1..].find(first) else {
                    return self.error(format!("a text in the condition `{source}` has no end"));
                };
                tokens.push(rest[..end + 2].to_owned());
                end + 2
            } else if let Some(operator) = ["==", "!=", "<=", ">=", "&&", "||", "<", ">", "!"]
                .iter()
                .find(|operator| rest.starts_with(**operator))
            {
                tokens.push((*operator).to_owned());
                operator.len()
            } else {
                let length = rest
                    .find(|character: char| {
                        !(character.is_ascii_alphanumeric() || character == '.')
                    })
                    .unwrap_or(rest.len());
                if length == 0 {
                    return self.error(format!(
                        "cannot understand `{first}` in the condition `{source}`"
                    ));
                }
                tokens.push(rest[..length].to_owned());
                length
            };
            rest = rest[length..].trim_start();
        }
        Ok(tokens)
    }
}

fn is_operand(token: &str) -> bool {
    token.starts_with(|character: char| {
        character.is_ascii_alphanumeric() || matches!(character, '_' | '"' | '\'')
    }) && !matches!(token, "and" | "or" | "not")
}

fn is_name_start(character: char) -> bool {
    character.is_ascii_alphabetic() || character == '_'
}

fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

fn name_length(text: &str) -> usize {
    if text.starts_with(is_name_start) {
        text.find(|character| !is_name(character))
            .unwrap_or(text.len())
    } else {
        0
    }
}

fn root(path: &str) -> &str {
    path.split('.').next().unwrap_or(path)
}

/// `$Name`, `$!Name`, `${Name}`, `$!{Name}`, each with properties: the path and the length in the source.
fn reference(text: &str) -> Option<(String, usize)> {
    let after_dollar = text.strip_prefix('$')?;
    let after_quiet = after_dollar.strip_prefix('!').unwrap_or(after_dollar);
    let (inside, is_braced) = after_quiet
        .strip_prefix('{')
        .map_or((after_quiet, false), |inside| (inside, true));
    let mut length = name_length(inside);
    if length == 0 {
        return None;
    }
    while inside[length..].starts_with('.') {
        let property = name_length(&inside[length + 1..]);
        if property == 0 {
            break;
        }
        length += 1 + property;
    }
    let path = inside[..length].to_owned();
    if is_braced && !inside[length..].starts_with('}') {
        return None;
    }
    Some((
        path,
        text.len() - inside.len() + length + usize::from(is_braced),
    ))
}

/// `#word` or `#{word}` if it is a directive; colours (`#fff`) and fragments (`#top`) are not.
fn directive(text: &str) -> Option<(&str, usize)> {
    let inside = text.strip_prefix('#')?;
    let (inside, is_braced) = inside
        .strip_prefix('{')
        .map_or((inside, false), |inside| (inside, true));
    let length = name_length(inside);
    let word = &inside[..length];
    let is_directive = matches!(
        word,
        "if" | "elseif"
            | "else"
            | "end"
            | "foreach"
            | "set"
            | "macro"
            | "include"
            | "parse"
            | "evaluate"
    );
    if !is_directive || (is_braced && !inside[length..].starts_with('}')) {
        return None;
    }
    Some((
        word,
        text.len() - inside.len() + length + usize::from(is_braced),
    ))
}

/// The variables that a Liquid expression reads.
fn names(expression: &str) -> Vec<String> {
    const WORDS: &[&str] = &[
        "and", "or", "contains", "in", "true", "false", "nil", "null", "empty", "blank",
        "reversed", "limit", "offset", "cols",
    ];
    let mut found = Vec::new();
    let mut rest = expression;
    let mut previous = ' ';
    while let Some(first) = rest.chars().next() {
        let length = if matches!(first, '"' | '\'') {
            rest[1..].find(first).map_or(rest.len(), |end| end + 2)
        } else if is_name_start(first) {
            let length = name_length(rest);
            let word = &rest[..length];
            let is_filter_or_property = matches!(previous, '|' | '.');
            let is_argument_name = rest[length..].trim_start().starts_with(':');
            if !is_filter_or_property && !is_argument_name && !WORDS.contains(&word) {
                found.push(word.to_owned());
            }
            length
        } else if first.is_ascii_digit() {
            rest.find(|character: char| !is_name(character))
                .unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        if !first.is_whitespace() {
            previous = rest[..length].chars().next_back().unwrap_or(' ');
        }
        rest = &rest[length..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(source: &str) -> String {
        translate(source, Output::Html)
            .expect("a correct template")
            .liquid
    }

    fn reads(source: &str) -> Vec<String> {
        translate(source, Output::Text)
            .expect("a correct template")
            .reads
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    }

    #[test]
    fn references_become_escaped_outputs() {
        assert_eq!(
            html("$A $!B ${C}d $!{D}, $item.Name."),
            "{{ A | escape }} {{ B | escape }} {{ C | escape }}d {{ D | escape }}, {{ item.Name | escape }}."
        );
    }

    #[test]
    fn dollars_that_name_nothing_and_colours_stay() {
        assert_eq!(
            html(r"$5 $ \$A #fff #top #1 a#b"),
            "$5 $ $A #fff #top #1 a#b"
        );
    }

    #[test]
    fn directives_become_tags() {
        assert_eq!(
            html("#if ($A)x#elseif($B == \"b\")y#{else}z#end"),
            "{% if A != blank %}x{% elsif B == \"b\" %}y{% else %}z{% endif %}"
        );
        assert_eq!(
            html("#foreach ($p in $Products)$p.Name #end"),
            "{% for p in Products %}{{ p.Name | escape }} {% endfor %}"
        );
        assert_eq!(
            html("#if(!$A &amp;&amp; $B || $C >= 3)x#end"),
            "{% if A == blank and B != blank or C >= 3 %}x{% endif %}"
        );
    }

    #[test]
    fn liquid_stays_and_its_outputs_are_escaped_last() {
        assert_eq!(
            html("{{ a | upcase }}{% if b %}{{ c | escape }}{% endif %}"),
            "{{ a | upcase | escape }}{% if b %}{{ c | escape }}{% endif %}"
        );
    }

    #[test]
    fn the_portals_url_brings_its_own_scheme() {
        assert_eq!(
            html("http://$DevPortalUrl/a https://${DevPortalUrl} $DevPortalUrl"),
            "{{ DevPortalUrl | escape }}/a {{ DevPortalUrl | escape }} {{ DevPortalUrl | escape }}"
        );
    }

    #[test]
    fn what_a_template_reads_is_known() {
        assert_eq!(
            reads(
                "$A {{ b.c | default: d, x: 'e' }} #foreach($p in $P)$p.Name#end {% for q in Q %}{{ q }}{% endfor %}{% assign r = s %}{{ r }}"
            ),
            ["A", "b", "d", "P", "Q", "s"]
        );
    }

    #[test]
    fn mistakes_are_found_with_their_line() {
        let mistakes = [
            "a\n#if ($A) b",
            "#end",
            "#else",
            "\n\n#set($a = 1)",
            "{{ a",
            "{% include 'x' %}",
            "#if $A",
            "#foreach($a of $b)",
            "#if($A ==)#end",
            "{{ }}",
        ]
        .map(|source| {
            translate(source, Output::Html)
                .map_err(|error| format!("{}: {}", error.line, error.message))
                .expect_err("a mistake")
        });
        assert_eq!(
            mistakes,
            [
                "2: `#if` has no `#end`",
                "1: `#end` without `#if` or `#foreach`",
                "1: `#else` without `#if`",
                "3: `#set` is not supported in a mail",
                "1: `{{` has no `}}`",
                "1: `{% include %}` is not supported in a mail",
                "1: `#if` needs parentheses",
                "1: `#foreach` needs `($item in $List)`",
                "1: cannot understand the condition `$A ==`",
                "1: `{{ }}` is empty",
            ]
        );
    }
}
