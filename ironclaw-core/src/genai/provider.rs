use super::protocol::Protocol;

/// Who serves the model: which protocol is spoken, and where by default. For a service that is not here there is its
/// OpenAI-compatible endpoint, with [`Provider::OpenAi`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Provider {
    /// OpenAI's Chat Completions, or any service that speaks them: set the endpoint.
    OpenAi,
    /// OpenAI's Responses.
    OpenAiResponses,
    /// Anthropic's Messages.
    Anthropic,
    /// Google's Gemini.
    Gemini,
    /// Ollama's own protocol.
    Ollama,
    /// DeepSeek.
    DeepSeek,
    /// Fireworks.
    Fireworks,
    /// Groq.
    Groq,
    /// MiniMax.
    MiniMax,
    /// Mistral.
    Mistral,
    /// Moonshot's Kimi.
    Kimi,
    /// Nebius.
    Nebius,
    /// OpenRouter.
    OpenRouter,
    /// Together.
    Together,
    /// xAI.
    Xai,
}

impl Provider {
    /// Where the provider serves its models; for Ollama, this machine.
    pub fn default_endpoint(self) -> &'static str {
        match self {
            Self::OpenAi | Self::OpenAiResponses => "https://api.openai.com/v1/",
            Self::Anthropic => "https://api.anthropic.com/v1/",
            Self::Gemini => "https://generativelanguage.googleapis.com/v1beta/",
            Self::Ollama => "http://127.0.0.1:11434/",
            Self::DeepSeek => "https://api.deepseek.com/v1/",
            Self::Fireworks => "https://api.fireworks.ai/inference/v1/",
            Self::Groq => "https://api.groq.com/openai/v1/",
            Self::MiniMax => "https://api.minimax.io/anthropic/v1/",
            Self::Mistral => "https://api.mistral.ai/v1/",
            Self::Kimi => "https://api.moonshot.ai/v1/",
            Self::Nebius => "https://api.studio.nebius.ai/v1/",
            Self::OpenRouter => "https://openrouter.ai/api/v1/",
            Self::Together => "https://api.together.xyz/v1/",
            Self::Xai => "https://api.x.ai/v1/",
        }
    }

    pub(super) fn protocol(self) -> Protocol {
        match self {
            Self::OpenAiResponses => Protocol::Responses,
            Self::Anthropic | Self::MiniMax => Protocol::Anthropic,
            Self::Gemini => Protocol::Gemini,
            Self::Ollama => Protocol::Ollama,
            Self::OpenAi
            | Self::DeepSeek
            | Self::Fireworks
            | Self::Groq
            | Self::Mistral
            | Self::Kimi
            | Self::Nebius
            | Self::OpenRouter
            | Self::Together
            | Self::Xai => Protocol::Chat,
        }
    }
}
