//! What the element files share: reading attributes, texts and children, and noting problems.

use crate::document::{Scope, Section, Step};
use crate::elements::{self, StepKind};
use crate::expression::{Expression, Type};
use crate::problem::{Lines, Problem};
use crate::value::{Literal, Value};
use crate::xml::{self, Element, Node, Text};

/// No author reads more; a hostile document shall not make a larger answer than this.
const PROBLEMS_LIMIT: usize = 200;

pub(crate) struct Parser<'a> {
    lines: Lines<'a>,
    pub(crate) problems: Vec<Problem>,
    scope: Scope,
    section: Option<Section>,
    /// Policies met in this section that it permits only once.
    once: Vec<&'static str>,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(lines: Lines<'a>, scope: Scope) -> Self {
        Self {
            lines,
            problems: Vec::new(),
            scope,
            section: None,
            once: Vec::new(),
        }
    }

    pub(crate) fn enter(&mut self, section: Section) {
        self.section = Some(section);
        self.once.clear();
    }

    pub(crate) fn problem(&mut self, at: usize, element: &Element, message: impl Into<String>) {
        if self.problems.len() < PROBLEMS_LIMIT {
            let problem = self.lines.problem(at, Some(&element.name), message);
            self.problems.push(problem);
        }
    }

    /// The steps inside a section, a fragment or a branch.
    pub(crate) fn steps(&mut self, parent: &Element) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut position = 0;
        for node in &parent.children {
            match node {
                Node::Comment(_) => {}
                Node::Text(text) if text.value.trim().is_empty() => {}
                Node::Text(text) => self.problem(text.start(), parent, "Text is not allowed here."),
                Node::Element(element) => {
                    position += 1;
                    steps.extend(self.step(element, position));
                }
            }
        }
        steps
    }

    fn step(&mut self, element: &Element, position: usize) -> Option<Step> {
        let Some(rule) = elements::RULES
            .iter()
            .find(|rule| rule.element == element.name)
        else {
            let known = elements::NOT_HERE
                .iter()
                .find(|(name, _)| match name.strip_suffix('*') {
                    Some(prefix) => element.name.starts_with(prefix),
                    None => element.name == *name,
                });
            let message = match known {
                Some((_, instead)) => {
                    format!("Policy '{}' is not supported: {instead}.", element.name)
                }
                None => format!("Unknown policy '{}' at position {position}.", element.name),
            };
            self.problem(element.at, element, message);
            return None;
        };
        if let Some(section) = self.section
            && !rule.permits(section)
        {
            self.problem(
                element.at,
                element,
                format!("Policy is not allowed in section '{}'.", section.element()),
            );
        }
        if !rule.permits_scope(self.scope) {
            self.problem(element.at, element, "Policy is not allowed in this scope.");
        }
        if rule.once {
            if self.once.contains(&rule.element) {
                self.problem(
                    element.at,
                    element,
                    "Policy may be used only once in a section.",
                );
            }
            self.once.push(rule.element);
        }
        let before = self.problems.len();
        let kind = (rule.parse)(self, element);
        debug_assert!(
            kind.is_some() || self.problems.len() > before || before >= PROBLEMS_LIMIT,
            "a policy was dropped silently"
        );
        let id = element
            .attributes
            .iter()
            .find(|attribute| attribute.name == "id")
            .map(|id| id.value.value.clone());
        Some(Step {
            kind: kind?,
            line: self.lines.line(element.at),
            id,
        })
    }

    /// Steps of a branch, each given with `StepKind`; used for policies that allow only some policies inside.
    pub(crate) fn branch(&mut self, element: &Element, permitted: &[&str]) -> Vec<Step> {
        for child in element.elements() {
            if !permitted.contains(&child.name.as_str()) {
                self.problem(
                    child.at,
                    child,
                    format!("Policy is not allowed inside '{}'.", element.name),
                );
            }
        }
        let steps = self.steps(element);
        steps
            .into_iter()
            .filter(|step| permitted.contains(&step.kind.element()))
            .collect()
    }

    /// Notes attributes that are not in the list; `id` is permitted on every policy.
    pub(crate) fn attributes(&mut self, element: &Element, known: &[&str]) {
        for attribute in &element.attributes {
            if attribute.name != "id" && !known.contains(&attribute.name.as_str()) {
                self.problem(
                    attribute.at,
                    element,
                    format!("Unknown attribute '{}'.", attribute.name),
                );
            }
        }
    }

    /// Notes child elements that are not in the list, and text.
    pub(crate) fn children(&mut self, element: &Element, known: &[&str]) {
        for node in &element.children {
            match node {
                Node::Element(child) if !known.contains(&child.name.as_str()) => {
                    self.problem(
                        child.at,
                        element,
                        format!("Unknown element '{}'.", child.name),
                    );
                }
                Node::Text(text) if !text.value.trim().is_empty() => {
                    self.problem(text.start(), element, "Text is not allowed here.");
                }
                Node::Element(_) | Node::Text(_) | Node::Comment(_) => {}
            }
        }
    }

    /// At most one child of a name.
    pub(crate) fn child<'e>(&mut self, element: &'e Element, name: &str) -> Option<&'e Element> {
        let mut found = element.elements().filter(|child| child.name == name);
        let first = found.next();
        for more in found {
            self.problem(
                more.at,
                element,
                format!("Element '{name}' may occur only once."),
            );
        }
        first
    }

    pub(crate) fn required_child<'e>(
        &mut self,
        element: &'e Element,
        name: &str,
    ) -> Option<&'e Element> {
        let child = self.child(element, name);
        if child.is_none() {
            self.problem(
                element.at,
                element,
                format!("Required element '{name}' is missing."),
            );
        }
        child
    }

    fn text_of<'e>(element: &'e Element, name: &str) -> Option<&'e Text> {
        element
            .attributes
            .iter()
            .find(|attribute| attribute.name == name)
            .map(|attribute| &attribute.value)
    }

    fn missing(&mut self, element: &Element, name: &str) {
        self.problem(
            element.at,
            element,
            format!("Required attribute '{name}' is missing."),
        );
    }

    fn read<T: Literal>(&mut self, element: &Element, name: &str, text: &Text) -> Option<T> {
        if xml::is_expression(text.value.trim()) {
            self.problem(
                text.start(),
                element,
                format!("Policy expressions are not allowed in '{name}'."),
            );
            return None;
        }
        let value = T::from_text(&text.value);
        if value.is_none() {
            self.problem(
                text.start(),
                element,
                format!(
                    "'{}' is not valid for '{name}': expected {}.",
                    text.value,
                    T::EXPECTED
                ),
            );
        }
        value
    }

    /// A required attribute without expressions.
    pub(crate) fn literal<T: Literal>(&mut self, element: &Element, name: &str) -> Option<T> {
        match Self::text_of(element, name) {
            Some(text) => self.read(element, name, text),
            None => {
                self.missing(element, name);
                None
            }
        }
    }

    /// An optional attribute without expressions.
    pub(crate) fn optional_literal<T: Literal>(
        &mut self,
        element: &Element,
        name: &str,
    ) -> Option<T> {
        Self::text_of(element, name).and_then(|text| self.read(element, name, text))
    }

    /// An attribute without expressions that has a default.
    pub(crate) fn literal_or<T: Literal>(
        &mut self,
        element: &Element,
        name: &str,
        default: T,
    ) -> T {
        self.optional_literal(element, name).unwrap_or(default)
    }

    fn evaluable<T: Literal>(
        &mut self,
        element: &Element,
        name: &str,
        text: &Text,
    ) -> Option<Value<T>> {
        let trimmed = text.value.trim();
        if !xml::is_expression(trimmed) {
            return self.read(element, name, text).map(Value::Literal);
        }
        let lead = text.value.len() - text.value.trim_start().len();
        self.compile(element, text, lead, trimmed, &T::expected_type())
            .map(Value::Expression)
    }

    fn compile(
        &mut self,
        element: &Element,
        text: &Text,
        lead: usize,
        source: &str,
        expected: &Type,
    ) -> Option<Expression> {
        match Expression::compile(source, expected) {
            Ok(expression) => Some(expression),
            Err(errors) => {
                for error in errors {
                    self.problem(text.locate(lead + error.at), element, error.message);
                }
                None
            }
        }
    }

    /// A required attribute that may be an expression.
    pub(crate) fn value<T: Literal>(&mut self, element: &Element, name: &str) -> Option<Value<T>> {
        match Self::text_of(element, name) {
            Some(text) => self.evaluable(element, name, text),
            None => {
                self.missing(element, name);
                None
            }
        }
    }

    /// An optional attribute that may be an expression.
    pub(crate) fn optional_value<T: Literal>(
        &mut self,
        element: &Element,
        name: &str,
    ) -> Option<Value<T>> {
        Self::text_of(element, name).and_then(|text| self.evaluable(element, name, text))
    }

    /// An attribute that may be an expression and has a default.
    pub(crate) fn value_or<T: Literal>(
        &mut self,
        element: &Element,
        name: &str,
        default: T,
    ) -> Value<T> {
        self.optional_value(element, name)
            .unwrap_or(Value::Literal(default))
    }

    /// The text of an element that has no children, surrounding white space removed.
    pub(crate) fn text<T: Literal>(&mut self, element: &Element) -> Option<Value<T>> {
        self.trimmed(element, true)
    }

    /// The text of an element as it stands, for bodies.
    pub(crate) fn verbatim(&mut self, element: &Element) -> Option<Value<String>> {
        self.trimmed(element, false)
    }

    fn trimmed<T: Literal>(&mut self, element: &Element, trim: bool) -> Option<Value<T>> {
        for child in element.elements() {
            self.problem(
                child.at,
                element,
                format!("Unknown element '{}'.", child.name),
            );
        }
        let text = element.text();
        if trim && !xml::is_expression(text.value.trim()) {
            let lead = text.value.len() - text.value.trim_start().len();
            let value = T::from_text(text.value.trim());
            if value.is_none() {
                let message = format!(
                    "'{}' is not valid: expected {}.",
                    text.value.trim(),
                    T::EXPECTED
                );
                self.problem(text.locate(lead), element, message);
            }
            return value.map(Value::Literal);
        }
        self.evaluable(element, &element.name, &text)
    }

    /// Texts of all children of one name.
    pub(crate) fn texts<T: Literal>(&mut self, element: &Element, name: &str) -> Vec<Value<T>> {
        element
            .elements()
            .filter(|child| child.name == name)
            .filter_map(|child| {
                self.attributes(child, &[]);
                self.text(child)
            })
            .collect()
    }

    /// Parses a policy that is a part of another one, such as `set-header` in `return-response`.
    pub(crate) fn part(&mut self, element: &Element) -> Option<StepKind> {
        elements::RULES
            .iter()
            .find(|rule| rule.element == element.name)
            .and_then(|rule| (rule.parse)(self, element))
    }
}
