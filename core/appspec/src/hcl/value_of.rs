//! Literal expressions as Rust values. Nothing is evaluated.

use crate::problem::{Checked, Fault};
use hcl_edit::expr::Expression;
use hcl_edit::template::{Element, Template};

/// A string, without NUL. `${COMMIT}` is kept as these characters: it is filled in later. Every
/// other template is refused.
pub(super) fn string(expression: &Expression) -> Checked<String> {
    let text = match expression {
        Expression::String(text) => text.value().clone(),
        Expression::StringTemplate(template) => template_text(template)?,
        Expression::HeredocTemplate(heredoc) => template_text(&heredoc.template)?,
        Expression::Number(_) | Expression::Bool(_) => {
            return Err(wrong_type(expression, "a string").fix("put it in quotes"));
        }
        _ => return Err(wrong_type(expression, "a string")),
    };
    if text.contains('\0') { Err(Fault::new("holds a NUL character")) } else { Ok(text) }
}

/// `true` or `false`.
pub(super) fn boolean(expression: &Expression) -> Checked<bool> {
    expression.as_bool().ok_or_else(|| {
        let fault = wrong_type(expression, "true or false");
        match expression.as_str() {
            Some("true" | "false") => fault.fix("write it without quotes"),
            _ => fault,
        }
    })
}

/// A whole number that is not negative.
pub(super) fn whole_number(expression: &Expression) -> Checked<u64> {
    match expression {
        Expression::Number(number) => {
            number.value().as_u64().ok_or_else(|| Fault::new("is not a whole number"))
        }
        Expression::String(text) if text.value().bytes().all(|b| b.is_ascii_digit()) => {
            Err(wrong_type(expression, "a number").fix("write it without quotes"))
        }
        _ => Err(wrong_type(expression, "a number")),
    }
}

/// What an expression is, for a message.
pub(super) fn kind(expression: &Expression) -> &'static str {
    match expression {
        Expression::Null(_) => "null",
        Expression::Bool(_) => "a boolean",
        Expression::Number(_) => "a number",
        Expression::String(_) | Expression::StringTemplate(_) | Expression::HeredocTemplate(_) => "a string",
        Expression::Array(_) => "a list",
        Expression::Object(_) => "a map",
        Expression::FuncCall(_) => "a function call",
        Expression::Variable(_) => "a name without quotes",
        _ => "a computed value",
    }
}

/// "is X, not Y", with the way out where the value is computed.
pub(super) fn wrong_type(expression: &Expression, expected: &str) -> Fault {
    let fault = Fault::new(format!("is {}, not {expected}", kind(expression)));
    match expression {
        Expression::Variable(_) if expected == "a string" => fault.fix("put it in quotes"),
        Expression::Null(_)
        | Expression::Bool(_)
        | Expression::Number(_)
        | Expression::String(_)
        | Expression::Array(_)
        | Expression::Object(_) => fault,
        _ => fault.fix("write the value itself; nothing is computed in this file"),
    }
}

fn template_text(template: &Template) -> Checked<String> {
    let mut text = String::new();
    for element in template {
        match element {
            Element::Literal(literal) => text.push_str(literal.value()),
            Element::Interpolation(inner)
                if inner.expr.as_variable().is_some_and(|name| name.as_str() == "COMMIT") =>
            {
                text.push_str("${COMMIT}");
            }
            Element::Interpolation(_) => {
                return Err(Fault::new("holds `${…}`, and nothing is computed in this file")
                    .fix("write `$${…}` for these characters themselves"));
            }
            Element::Directive(_) => {
                return Err(Fault::new("holds `%{…}`, and nothing is computed in this file")
                    .fix("write `%%{…}` for these characters themselves"));
            }
        }
    }
    Ok(text)
}
