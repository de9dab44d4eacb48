//! SPDX licence expressions: may this be used under one of the allowed licences?

/// Whether the expression can be met with `allowed` alone; an expression that cannot be read is an error.
///
/// `A/B`, the old way of Cargo to write a choice, counts as `A OR B`; `X WITH Y` is met by `X WITH Y` alone.
pub(crate) fn is_met(expression: &str, allowed: &[String]) -> Result<bool, String> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, at: 0, allowed };
    let met = parser.choice();
    match met {
        Some(met) if parser.at == words.len() => Ok(met),
        _ => Err(format!("`{expression}` is no SPDX licence expression")),
    }
}

struct Parser<'a> {
    words: &'a [&'a str],
    at: usize,
    allowed: &'a [String],
}

impl Parser<'_> {
    fn choice(&mut self) -> Option<bool> {
        let mut met = self.all()?;
        while self.take("OR") {
            met |= self.all()?;
        }
        Some(met)
    }

    fn all(&mut self) -> Option<bool> {
        let mut met = self.one()?;
        while self.take("AND") {
            met &= self.one()?;
        }
        Some(met)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let met = self.choice()?;
            return self.take(")").then_some(met);
        }
        let mut name = self.name()?;
        if self.take("WITH") {
            name = format!("{name} WITH {}", self.name()?);
        }
        Some(self.allowed.contains(&name))
    }

    fn name(&mut self) -> Option<String> {
        let word = *self.words.get(self.at)?;
        let is_name = !["AND", "OR", "WITH", "(", ")"].contains(&word);
        self.at += usize::from(is_name);
        is_name.then(|| word.to_owned())
    }

    fn take(&mut self, word: &str) -> bool {
        let here = self.words.get(self.at) == Some(&word);
        self.at += usize::from(here);
        here
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(expression: &str) -> bool {
        let allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
        is_met(expression, &allowed).unwrap()
    }

    #[test]
    fn choices_and_conjunctions() {
        assert!(met("MIT") && met("MIT/GPL-3.0") && met("GPL-3.0 OR MIT") && met("MIT AND Apache-2.0"));
        assert!(met("(MIT OR GPL-3.0) AND Apache-2.0") && met("Apache-2.0 WITH LLVM-exception OR X"));
        assert!(!met("GPL-3.0") && !met("MIT AND GPL-3.0") && !met("MIT WITH Y") && !met("GPL-3.0 AND (MIT OR X)"));
    }

    #[test]
    fn nonsense_is_an_error() {
        for text in ["", "MIT OR", "(MIT", "MIT Apache-2.0", "OR MIT", "MIT WITH"] {
            assert!(is_met(text, &["MIT".to_owned()]).is_err(), "{text}");
        }
    }
}
