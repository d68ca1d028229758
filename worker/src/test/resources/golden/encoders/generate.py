"""Makes the tiny random models of this folder and their reference outputs, with transformers 5.24 on float32 (CC0).

    python generate.py OUT        needs torch, transformers, tokenizers, safetensors, gguf

Weights are stored as f16 and widened before anything is computed. Inputs run one by one, so nothing is padded.
"""

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import BertWordPieceTokenizer
from transformers import (
    BertConfig, BertForSequenceClassification, BertModel, LlamaConfig, LlamaForSequenceClassification, LlamaModel,
    NomicBertConfig, NomicBertModel, XLMRobertaConfig, XLMRobertaForSequenceClassification)

OUT = Path(sys.argv[1])
torch.manual_seed(5)
torch.set_num_threads(1)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = """the a an of to and in is it rain sun snow cat dog river mill race water wheel stone bread how what why when does do
run fall sky blue low high weather today tomorrow good bad open close door play ing ed er un able train paris berlin city
capital france germany""".split()
TAILS = ["s", "ing", "ed", "er", "ly", "able", "ness", "tion", "ful"]
LETTERS = [chr(c) for c in range(ord("a"), ord("z") + 1)] + list("0123456789") + ["ß", "ø", "й", "и", "日", "本"]
MARKS = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + ["–", "€", "。"]
VOCAB = SPECIAL + LETTERS + MARKS + [w for w in WORDS if len(w) > 1]
VOCAB += ["##" + t for t in LETTERS + TAILS]
VOCAB = list(dict.fromkeys(VOCAB))
SIZE = 256
VOCAB += [f"[unused{i}]" for i in range(SIZE - len(VOCAB))]
assert len(VOCAB) == SIZE, len(VOCAB)

TEXTS = [
    "the",
    "Why does the river run low today?",
    "How is the weather in Paris tomorrow",
    "Un café, s'il vous plaît! Élan, Ångström; naïve",
    "The mill wheel turns; 日本 bread\tis\u00a0good. [SEP] (really)",
    "rain " * 130,
    "the dog opened the door and played with the cats in the snow, " * 6,
]
PAIRS = [
    ("what is the capital of france", "Paris is the capital and the largest city of France."),
    ("what is the capital of france", "The cat sleeps."),
    ("rain today?", "snow tomorrow " * 40),
]


def randomise(model):
    for name, p in model.named_parameters():
        with torch.no_grad():
            if "norm" in name.lower() and name.endswith("weight"):
                p.uniform_(0.5, 1.5)
            elif p.dim() == 1:
                p.normal_(0, 0.2)
            else:
                p.normal_(0, 1.2 / p.shape[-1] ** 0.5 if "embed" not in name else 0.7)
            p.copy_(p.half().float())
    return model.eval()


def tokenizer(folder):
    (folder / "vocab.txt").write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    tok = BertWordPieceTokenizer(str(folder / "vocab.txt"), lowercase=True)
    tok.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True}) + "\n")
    return tok


def write(folder, config, tensors, golden, **floats):
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.half().contiguous() for k, v in tensors.items()}, str(folder / "model.safetensors"))
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    for name, value in floats.items():
        np.asarray(value, dtype="<f4").tofile(folder / (name + ".f32"))
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")


def unit(x):
    return torch.nn.functional.normalize(x, dim=-1)


def pooled(hidden):
    return {"mean": unit(hidden.mean(0)), "cls": unit(hidden[0]), "last": unit(hidden[-1])}


def run(model, ids, types=None):
    kinds = {} if types is None else {"token_type_ids": torch.tensor([types])}
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), **kinds)


def embeddings(model, batches, **kw):
    rows = {"mean": [], "cls": [], "last": []}
    for ids in batches:
        for kind, value in pooled(run(model, ids, **kw).last_hidden_state[0]).items():
            rows[kind].append(value.numpy())
    return {kind: np.stack(value) for kind, value in rows.items()}


def sentence_transformer(folder, mode):
    (folder / "modules.json").write_text(json.dumps([
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]) + "\n")
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({
        "word_embedding_dimension": 48, "pooling_mode_cls_token": mode == "cls",
        "pooling_mode_mean_tokens": mode == "mean", "pooling_mode_lasttoken": mode == "last",
        "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False}) + "\n")


def gguf_tokens(w):
    out = []
    for t in VOCAB:
        if t.startswith("[") and t.endswith("]") and len(t) > 2:
            out.append(t)
        elif t.startswith("##"):
            out.append(t[2:])
        else:
            out.append("\u2581" + t)
    w.add_tokenizer_model("bert")
    w.add_tokenizer_pre("default")
    w.add_token_list(out)
    w.add_token_types([3 if i < len(SPECIAL) else 1 for i in range(SIZE)])
    w.add_token_type_count(2)
    w.add_bos_token_id(2), w.add_sep_token_id(3), w.add_unk_token_id(1), w.add_pad_token_id(0), w.add_mask_token_id(4)


def gguf_file(path, arch, config, tensors, pooling):
    w = gguf.GGUFWriter(str(path), arch)
    w.add_context_length(160), w.add_embedding_length(48), w.add_feed_forward_length(96), w.add_block_count(2)
    w.add_head_count(4), w.add_layer_norm_eps(1e-12), w.add_causal_attention(False)
    w.add_pooling_type(gguf.PoolingType(pooling))
    if arch == "nomic-bert":
        w.add_rope_freq_base(1000.0)
    gguf_tokens(w)
    for name, value in tensors.items():
        array = value.half().numpy() if value.dim() == 2 else value.float().numpy()
        w.add_tensor(name, array)
    w.write_header_to_file(), w.write_kv_data_to_file(), w.write_tensors_to_file()
    w.close()


BERT_NAMES = {
    "embeddings.word_embeddings": "token_embd", "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types", "embeddings.LayerNorm": "token_embd_norm",
    "attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up", "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm",
    "pooler.dense": "cls", "classifier": "cls.output"}


def bert_gguf_names(tensors):
    out = {}
    for name, value in tensors.items():
        stem, kind = name.removeprefix("bert.").rsplit(".", 1)
        if stem.startswith("encoder.layer."):
            _, _, n, rest = stem.split(".", 3)
            out[f"blk.{n}.{BERT_NAMES[rest]}.{kind}"] = value
        elif stem in BERT_NAMES:
            out[f"{BERT_NAMES[stem]}.{kind}"] = value
    return out


def bert():
    base = dict(vocab_size=SIZE, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96,
                max_position_embeddings=160, type_vocab_size=2, hidden_act="gelu")
    folder = OUT / "bert-tiny"
    folder.mkdir(parents=True, exist_ok=True)
    tok = tokenizer(folder)
    model = randomise(BertModel(BertConfig(**base), add_pooling_layer=False))
    batches = [tok.encode(t).ids for t in TEXTS]
    e = embeddings(model, batches)
    config = model.config.to_dict() | {"architectures": ["BertModel"]}
    tensors = dict(model.state_dict())
    write(folder, config, tensors, {"texts": TEXTS, "ids": batches}, **e)
    sentence_transformer(folder, "mean")
    gguf_file(OUT / "bert-tiny.gguf", "bert", base, bert_gguf_names(tensors), 1)

    folder = OUT / "bert-cross-tiny"
    folder.mkdir(parents=True, exist_ok=True)
    tok = tokenizer(folder)
    model = randomise(BertForSequenceClassification(BertConfig(**base, num_labels=1)))
    encoded = [tok.encode(a, b) for a, b in PAIRS]
    logits = [run(model, x.ids, x.type_ids).logits[0, 0].item() for x in encoded]
    config = model.config.to_dict() | {"architectures": ["BertForSequenceClassification"]}
    tensors = dict(model.state_dict())
    write(folder, config, tensors, {"pairs": PAIRS, "ids": [x.ids for x in encoded],
          "types": [x.type_ids for x in encoded]}, logits=logits)
    gguf_file(OUT / "bert-cross-tiny.gguf", "bert", base, bert_gguf_names(tensors), 4)


def nomic():
    folder = OUT / "nomic-tiny"
    folder.mkdir(parents=True, exist_ok=True)
    tok = tokenizer(folder)
    model = randomise(NomicBertModel(NomicBertConfig(
        vocab_size=SIZE, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, head_dim=12, intermediate_size=96,
        max_position_embeddings=160, rope_parameters={"rope_theta": 1000.0, "rope_type": "default"})))
    batches = [tok.encode(t).ids for t in TEXTS]
    e = embeddings(model, batches)
    tensors, ggml, qkv = {}, {}, {}
    names = {"self_attn.o_proj": ("attn.out_proj", "attn_output"), "mlp.up_proj": ("mlp.fc11", "ffn_up"),
             "mlp.gate_proj": ("mlp.fc12", "ffn_gate"), "mlp.down_proj": ("mlp.fc2", "ffn_down"),
             "post_attention_layernorm": ("norm1", "attn_output_norm"),
             "post_mlp_layernorm": ("norm2", "layer_output_norm")}
    for name, value in model.state_dict().items():
        stem, kind = name.rsplit(".", 1)
        if stem == "embeddings.LayerNorm":
            tensors[f"emb_ln.{kind}"] = ggml[f"token_embd_norm.{kind}"] = value
        elif stem.startswith("embeddings."):
            tensors[name] = value
            ggml[{"word": "token_embd", "token": "token_types"}[stem.split(".")[1].split("_")[0]] + ".weight"] = value
        else:
            _, n, rest = stem.split(".", 2)
            if rest in names:
                tensors[f"encoder.layers.{n}.{names[rest][0]}.{kind}"] = value
                ggml[f"blk.{n}.{names[rest][1]}.{kind}"] = value
            else:
                qkv.setdefault(n, {})[rest.split(".")[1][0]] = value
    for n, parts in qkv.items():
        fused = torch.cat([parts["q"], parts["k"], parts["v"]])
        tensors[f"encoder.layers.{n}.attn.Wqkv.weight"] = ggml[f"blk.{n}.attn_qkv.weight"] = fused
    config = {"architectures": ["NomicBertModel"], "model_type": "nomic_bert", "n_embd": 48, "n_head": 4, "n_inner": 96,
              "n_layer": 2, "n_positions": 160, "vocab_size": SIZE, "type_vocab_size": 2, "prenorm": False,
              "activation_function": "swiglu", "layer_norm_epsilon": 1e-12, "qkv_proj_bias": False,
              "mlp_fc1_bias": False, "mlp_fc2_bias": False, "rotary_emb_base": 1000, "rotary_emb_fraction": 1.0,
              "rotary_emb_interleaved": False, "rotary_scaling_factor": None, "use_rms_norm": False, "causal": False}
    write(folder, config, tensors, {"texts": TEXTS, "ids": batches}, **e)
    sentence_transformer(folder, "mean")
    gguf_file(OUT / "nomic-tiny.gguf", "nomic-bert", None, ggml, 1)


def xlmr():
    model = randomise(XLMRobertaForSequenceClassification(XLMRobertaConfig(
        vocab_size=SIZE, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96,
        max_position_embeddings=162, type_vocab_size=1, num_labels=1, pad_token_id=1, layer_norm_eps=1e-5)))
    rng = np.random.default_rng(1)
    batches = [[0] + rng.integers(5, SIZE, n).tolist() + [2] for n in (3, 40, 150)]
    logits = [run(model, ids).logits[0, 0].item() for ids in batches]
    config = model.config.to_dict() | {"architectures": ["XLMRobertaForSequenceClassification"]}
    write(OUT / "xlmr-cross-tiny", config, dict(model.state_dict()), {"ids": batches}, logits=logits)


def llama():
    base = dict(vocab_size=SIZE, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                intermediate_size=96, max_position_embeddings=512, rope_theta=10000.0, tie_word_embeddings=False)
    rng = np.random.default_rng(2)
    batches = [rng.integers(5, SIZE, n).tolist() for n in (1, 2, 40, 200)]
    model = randomise(LlamaModel(LlamaConfig(**base)))
    e = embeddings(model, batches)
    config = {"architectures": ["LlamaModel"], "model_type": "llama", "rms_norm_eps": 1e-6, "hidden_act": "silu"} | base
    folder = OUT / "llama-embed-tiny"
    write(folder, config, dict(model.state_dict()), {"ids": batches}, **e)
    sentence_transformer(folder, "last")
    model = randomise(LlamaForSequenceClassification(LlamaConfig(**base, num_labels=1, pad_token_id=0)))
    logits = [run(model, ids).logits[0, 0].item() for ids in batches]
    config = config | {"architectures": ["LlamaForSequenceClassification"], "id2label": {"0": "LABEL_0"}}
    write(OUT / "llama-score-tiny", config, dict(model.state_dict()), {"ids": batches}, logits=logits)


bert(), nomic(), xlmr(), llama()
