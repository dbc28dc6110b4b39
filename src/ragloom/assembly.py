"""Parts of one experiment, built when they are first needed."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragloom.cache.embeddings import has_cache
from ragloom.components.interface_checks import built
from ragloom.config import fingerprint
from ragloom.config.builder_keys import needs_of
from ragloom.config.config import Config, deepened
from ragloom.errors import ConfigError, RagloomError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.ingestion import IngestionPipeline

    from ragloom.cache.embeddings.embedding_cache import EmbeddingCache
    from ragloom.components.dataset.base import Dataset
    from ragloom.components.vector_store.protocols import Database, Index
    from ragloom.components.vector_store.record_types import IndexInfo
    from ragloom.core.budget import Budget
    from ragloom.ingestion import IngestSummary, Limits, Progress
    from ragloom.ingestion.dry_run import Estimate
    from ragloom.ingestion.executor import ChunkCache, Executor
    from ragloom.query.engine import CitedQueryEngine


_OTHERS = ("index", "group")  # what builders take that is no part of an assembly


def _part(group: str) -> cached_property[Any]:
    """Make the property of a group's built option.

    Its code version is the one that reads the index.
    """
    return cached_property(lambda self: built(self.config, group, self._versions.get(group), **self.available(group)))


class Assembly:
    """The parts of one experiment; a context manager that closes them.

    Attributes:
        older: the opened index, where former versions of the code built it; None: this release's code did.
        notes: sentences about the opened index, for people.
    """

    source = _part("source")
    """The source of documents."""
    analyzer = _part("analyzer")
    """The analyzer: text to search terms."""
    chunking = _part("chunking")
    """The chunker."""
    database: cached_property[Database] = _part("vector_store")
    """The store of indexes."""
    llm = _part("llm")
    """The LLM that writes answers."""
    judge = _part("judge")
    """The LLM that judges answers; None: no judge."""
    executor: cached_property[Executor | None] = _part("executor")
    """What runs the stages of an ingest; None: this process and its workers."""
    dataset: cached_property[Dataset] = _part("dataset")
    """The dataset; reading it may raise DataError."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.older: IndexInfo | None = None
        self.notes: list[str] = []
        self._versions: dict[str, int] = {}

    def __enter__(self) -> Assembly:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: object) -> None:
        try:
            self.close()
        except RagloomError:
            if error is None:  # otherwise the first error counts
                raise

    def close(self) -> None:
        """Close store, its server and the cache, until their next use."""
        if "cache" in self.__dict__:
            self.cache.close()
        if "database" in self.__dict__:
            self.__dict__.pop("database").close()

    @cached_property
    def description(self) -> dict[str, Any]:
        """Group -> builder, code version and keys that shape the index."""
        groups = [group for group in fingerprint.SHAPING_GROUPS if not self.config.is_neutral(group)]
        return {group: self.described(group) for group in groups}

    def described(self, group: str, version: int | None = None) -> dict[str, Any]:
        """Describe the option of a group, at a code version."""
        return fingerprint.describe(self.config.builder(group), self.config.values(group), version)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the description."""
        return fingerprint.digest(self.description)

    @property
    def index_name(self) -> str:
        """Name of this config's index: the corpus and the fingerprint."""
        return f"{self.source.name}-{self.fingerprint}"

    @property
    def alias(self) -> str | None:
        """The alias that queries read (`vector_store.alias`); None: this config's own index."""
        alias: str | None = self.config.values("vector_store").get("alias")
        return alias

    @property
    def prices(self) -> dict[str, Any]:
        """Model -> dollars per million tokens."""
        models: dict[str, Any] = (self.config.tree.get("prices") or {}).get("models") or {}
        return models

    @cached_property
    def embedding(self) -> Any:
        """The embedding, with its cache."""
        embedding = built(self.config, "embedding", self._versions.get("embedding"))
        writable = not self.config.tree["dry_run"] or has_cache(Path(self.config.tree["cache"]["path"]).expanduser())
        if writable and self._keeps(embedding):
            embedding.use_cache(self.cache, self.described("embedding", self._versions.get("embedding")))
        return embedding

    @property
    def keeps_vectors(self) -> bool:
        """Whether a run writes vectors to the cache."""
        return self._keeps(self.embedding)

    def _keeps(self, embedding: Any) -> bool:
        return bool(self.config.tree["cache"]["enabled"]) and not getattr(embedding, "cheap", True)

    @cached_property
    def cache(self) -> EmbeddingCache:
        """The embedding cache of all experiments."""
        from ragloom.cache.embeddings.embedding_cache import EmbeddingCache

        settings = self.config.tree["cache"]
        return EmbeddingCache(Path(settings["path"]).expanduser(), max_bytes=int(settings["max_gb"] * 1e9))

    def open(self, *, or_older: bool = False) -> Index:
        """Open the index of this config, or the one of `vector_store.alias`.

        An index that former versions of the code built (`older`) is queried by those versions of analyzer, embedding
        and store: one with an alias always, another one with `or_older`, where this release's index is missing.

        Raises:
            IndexMissing: no such index exists, or it is empty; the text names the nearest existing one.
            ConfigError: its documents lie elsewhere, no such alias exists, or queries of this config cannot read it.
        """
        from ragloom.query.index_selection import promoted, sourced

        return sourced(self, or_older=or_older) if self.alias is None else promoted(self, self.alias)

    def read_by(self, versions: dict[str, int]) -> None:
        """Use former code versions of analyzer, embedding and store, by group."""
        if versions != self._versions:
            self.close()
            self._versions = versions
            for group in fingerprint.QUERY_GROUPS:
                self.__dict__.pop(group, None)

    def sharing(self, config: Config) -> Assembly:
        """Return an assembly of another config that shares built parts.

        Args:
            config: of the same index; parts of options that differ are built again.
        """
        other, ours = Assembly(config), self.config.tree
        parts = {name: part for name, part in self.__dict__.items() if config.tree.get(name) == ours.get(name)}
        other.__dict__.update(parts, config=config)
        return other

    def retriever(self, index: Index, *, top_k: int | None = None) -> BaseRetriever:
        """Build the retriever on an index.

        Args:
            index: opened.
            top_k: chunks that leave it; None: as the config says.
        """
        config = self.config if top_k is None else deepened(self.config, top_k=top_k)
        retriever: BaseRetriever = built(config, "retriever", **self.available("retriever"), index=index)
        return retriever

    def query_engine(
        self,
        index: Index,
        *,
        answering: bool = True,
        streaming: bool = False,
        top_n: int | None = None,
    ) -> CitedQueryEngine:
        """Build the query engine on an index.

        Args:
            index: opened.
            answering: False builds no LLM: the engine only searches.
            streaming: LlamaIndex's `query` streams.
            top_n: chunks that leave the reranker; None: as the config says.
        """
        from ragloom.query.engine import CitedQueryEngine

        config = self.config if top_n is None else deepened(self.config, top_n=top_n)
        reranker = built(config, "reranker", **self.available("reranker"), index=index)
        return CitedQueryEngine(
            self.retriever(index),
            reranker,
            built(self.config, "prompt"),
            self.llm if answering else None,
            index.document,
            streaming=streaming,
        )

    def ingest(
        self,
        progress: Progress | None = None,
        stop: Callable[[], bool] = lambda: False,
        cuts: ChunkCache | None = None,
    ) -> IngestSummary:
        """Sync the index with its source.

        Args:
            progress: receives progress updates.
            stop: called before each document; True ends the ingest early.
            cuts: documents cut before; None: every document that may have changed is read.
        """
        from ragloom.ingestion import ingest
        from ragloom.ingestion.executor import LocalExecutor

        return ingest(
            self.source,
            self.chunking,
            self.embedding,
            self.database,
            index_name=self.index_name,
            description=self.description,
            config=self.config.public() | self.config.project_record(),
            limits=self._limits(),
            progress=progress,
            stop=stop,
            executor=self.executor or LocalExecutor(cuts),
        )

    def rehearse(self, progress: Progress | None = None, stop: Callable[[], bool] = lambda: False) -> Estimate:
        """Estimate what `ingest` would do and cost, without requests and writes."""
        from ragloom.ingestion.dry_run import rehearse
        from ragloom.ingestion.ingest_forecast import add_forecast
        from ragloom.ingestion.read_stage import machine_of
        from ragloom.providers.request_context import no_requests

        with no_requests():
            limits = self._limits()
            estimate = rehearse(
                self.source,
                self.chunking,
                self.embedding,
                self.database,
                index_name=self.index_name,
                limits=limits,
                keeps=self.keeps_vectors,
                prices=self.prices,
                progress=progress,
                stop=stop,
            )
        machine = machine_of(limits.workers, self.embedding.concurrency)
        add_forecast(estimate, self.config.tree, self.config.choices, machine)
        return estimate

    def ingestion_pipeline(self) -> IngestionPipeline:
        """Return a plain LlamaIndex pipeline of the stages that `ingest` runs."""
        from llama_index.core.ingestion import IngestionPipeline

        return IngestionPipeline(transformations=[self.chunking, self.embedding], disable_cache=True)

    def _limits(self) -> Limits:
        """Limits of what an ingest uses, spends and deletes.

        Raises:
            ConfigError: dollars are limited, and the price of the model is unknown.
        """
        from ragloom.core.run_context import current
        from ragloom.ingestion import Deletions, Limits
        from ragloom.ingestion.read_stage import bounds_of

        tree = self.config.tree
        deletions = Deletions(tree["max_delete_fraction"], tree["allow_mass_delete"])
        budget = current().budget or self.budget()
        return Limits(bounds_of(tree["workers"]), deletions, budget, tree["retry_failed"])

    def budget(self, *llms: Any) -> Budget:
        """Budget of one run: its embedding, and the LLMs that it calls.

        Raises:
            ConfigError: dollars are limited, and the price of a model is unknown; or anything is limited, and an LLM
                does not count what it costs.
        """
        from ragloom.core.budget import Budget

        settings, price = self.config.tree["budget"], 0.0
        limited = " and ".join(f"budget.{key}={value}" for key, value in settings.items() if value is not None)
        uncounted = [group for group in ("llm", "judge") if self._is_uncounted(group, llms)]
        if limited and uncounted:
            raise ConfigError(
                *(
                    f"budget: {limited} must hold for all calls, and {group}={self.config.choices.get(group)} "
                    "does not count what it costs; declare `paid: ClassVar[bool] = False` in its class where nothing "
                    "is paid, derive it from ragloom.components.llm.openai_llm.OpenAIChat, or set no limit"
                    for group in uncounted
                )
            )
        if settings["max_usd"] is None:
            return Budget(**settings, price=price)
        paid = {llm.model: "output: DOLLARS" for llm in llms if getattr(llm, "paid", False)}
        if getattr(self.embedding, "paid", False):
            models = {self.embedding.model_name, getattr(self.embedding, "query_embedding", self.embedding).model_name}
            paid |= dict.fromkeys(sorted(models), "output: 0")
            price = max(self.prices.get(model, {}).get("input", 0.0) for model in models)
        unknown = [
            f"budget: budget.max_usd={settings['max_usd']:g} needs the price of each model, and {model} has none; "
            f"give '+prices.models={{{model}: {{input: DOLLARS, {output}}}}}' (per million tokens; 0 where nothing is "
            "paid), or limit budget.max_tokens instead"
            for model, output in paid.items()
            if model not in self.prices
        ]
        if unknown:
            raise ConfigError(*unknown)
        return Budget(**settings, price=price, prices=self.prices)

    def _is_uncounted(self, group: str, llms: Sequence[Any]) -> bool:
        """Tell whether a called LLM may cost something that no budget counts."""
        llm = self.__dict__.get(group)
        if llm is None or all(llm is not item for item in llms):
            return False
        counts = getattr(llm, "paid", None) is False or hasattr(llm, "bound")
        return not counts and getattr(self.config.builder(group), "writes_text", True)

    def available(self, group: str) -> dict[str, Any]:
        """Build the objects that a group's builder takes, the index aside."""
        return {name: getattr(self, name) for name in needs_of(self.config.builder(group)) if name not in _OTHERS}
