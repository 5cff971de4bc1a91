/// BM25 (Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond") over the texts of one
/// user, with k1 = 1.2, b = 0.75 and an inverse document frequency that is never negative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bm25 {
    documents: f64,
    average_length: f64,
}

/// A term as one query sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredTerm {
    idf: f64,
    average_length: f64,
}

const K1: f64 = 1.2;
const B: f64 = 0.75;

impl Bm25 {
    /// The statistics of one user: how many texts there are, and how many terms all of them have together.
    pub fn new(documents: u64, total_length: u64) -> Self {
        let average_length = if documents == 0 { 1.0 } else { (total_length as f64 / documents as f64).max(1.0) };
        Self { documents: documents as f64, average_length }
    }

    /// A term that occurs in `document_frequency` of the texts.
    pub fn term(&self, document_frequency: u64) -> ScoredTerm {
        let df = (document_frequency as f64).min(self.documents);
        let idf = ((self.documents - df + 0.5) / (df + 0.5)).ln_1p();
        ScoredTerm { idf, average_length: self.average_length }
    }
}

impl ScoredTerm {
    /// What the term adds to the score of a text of `length` terms in which it occurs `frequency` times.
    pub fn score(&self, frequency: u32, length: u32) -> f64 {
        let frequency = f64::from(frequency);
        let norm = K1 * (1.0 - B + B * f64::from(length) / self.average_length);
        self.idf * frequency * (K1 + 1.0) / (frequency + norm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_formula_worked_by_hand() {
        // Two texts of 2 and 4 terms; a term that occurs once in the first: idf = ln(1 + 1.5/1.5) = ln 2,
        // norm = 1.2 * (0.25 + 0.75 * 2/3) = 0.9, score = ln 2 * 2.2 / 1.9.
        let score = Bm25::new(2, 6).term(1).score(1, 2);
        assert!((score - 2f64.ln() * 2.2 / 1.9).abs() < 1e-12);
    }

    #[test]
    fn is_never_negative_or_infinite() {
        for (documents, total, df) in [(0, 0, 0), (1, 0, 1), (1, 1, 5), (u64::MAX, u64::MAX, 1)] {
            let score = Bm25::new(documents, total).term(df).score(3, 7);
            assert!(score.is_finite() && score >= 0.0, "{documents} {total} {df}: {score}");
        }
    }
}
