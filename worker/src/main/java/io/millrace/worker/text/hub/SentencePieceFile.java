package io.millrace.worker.text.hub;

import com.google.protobuf.CodedInputStream;
import com.google.protobuf.WireFormat;
import io.millrace.shared.error.MillraceException;
import io.millrace.worker.text.vocab.TokenType;
import io.millrace.worker.text.vocab.Vocabulary;
import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** Reads a sentencepiece model, a protocol buffer of type {@code ModelProto} (sentencepiece_model.proto). */
final class SentencePieceFile {

    private static final int UNIGRAM = 1;
    private static final int BPE = 2;

    private final String file;
    private final VocabularyBuilder vocabulary = new VocabularyBuilder();

    private int modelType = UNIGRAM;
    private boolean asSuffix;
    private String unknownPiece = "<unk>";
    private String bosPiece = "<s>";
    private String eosPiece = "</s>";

    private boolean addPrefix = true;
    private boolean removeExtra = true;
    private boolean escapes = true;
    private byte[] charsMap = new byte[0];

    private SentencePieceFile(String file) {
        this.file = file;
    }

    /** @throws MillraceException MR-TEXT-002 the file is damaged, MR-TEXT-003 a kind of model that is not supported */
    static Vocabulary read(String file, byte[] content, ModelFolder folder) {
        SentencePieceFile reader = new SentencePieceFile(file);
        try {
            reader.model(CodedInputStream.newInstance(content));
        } catch (IOException e) {
            throw Vocabulary.broken(file, "it is no sentencepiece model: " + e.getMessage());
        }
        return reader.vocabulary(folder);
    }

    private void model(CodedInputStream in) throws IOException {
        for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
            switch (tag) {
                case 1 << 3 | WireFormat.WIRETYPE_LENGTH_DELIMITED -> piece(part(in));
                case 2 << 3 | WireFormat.WIRETYPE_LENGTH_DELIMITED -> trainer(part(in));
                case 3 << 3 | WireFormat.WIRETYPE_LENGTH_DELIMITED -> normalizer(part(in));
                default -> in.skipField(tag);
            }
        }
    }

    private static CodedInputStream part(CodedInputStream in) throws IOException {
        return CodedInputStream.newInstance(in.readByteArray());
    }

    private void piece(CodedInputStream in) throws IOException {
        String text = "";
        float score = 0;
        int type = TokenType.NORMAL;
        for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
            switch (tag) {
                case 1 << 3 | WireFormat.WIRETYPE_LENGTH_DELIMITED -> text = in.readStringRequireUtf8();
                case 2 << 3 | WireFormat.WIRETYPE_FIXED32 -> score = in.readFloat();
                case 3 << 3 -> type = in.readEnum();
                default -> in.skipField(tag);
            }
        }
        // Those are found in the text itself, where spaces are spaces.
        vocabulary.add(type == TokenType.USER_DEFINED ? text.replace('\u2581', ' ') : text, type, score);
    }

    private void trainer(CodedInputStream in) throws IOException {
        for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
            switch (tag) {
                case 3 << 3 -> modelType = in.readEnum();
                case 24 << 3 -> asSuffix = in.readBool();
                case 45 << 3 | WireFormat.WIRETYPE_LENGTH_DELIMITED -> unknownPiece = in.readStringRequireUtf8();
                case 46 << 3 | WireFormat.WIRETYPE_LENGTH_DELIMITED -> bosPiece = in.readStringRequireUtf8();
                case 47 << 3 | WireFormat.WIRETYPE_LENGTH_DELIMITED -> eosPiece = in.readStringRequireUtf8();
                default -> in.skipField(tag);
            }
        }
    }

    private void normalizer(CodedInputStream in) throws IOException {
        for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
            switch (tag) {
                case 2 << 3 | WireFormat.WIRETYPE_LENGTH_DELIMITED -> charsMap = in.readByteArray();
                case 3 << 3 -> addPrefix = in.readBool();
                case 4 << 3 -> removeExtra = in.readBool();
                case 5 << 3 -> escapes = in.readBool();
                default -> in.skipField(tag);
            }
        }
    }

    private Vocabulary vocabulary(ModelFolder folder) {
        if (modelType != UNIGRAM && modelType != BPE || !escapes) {
            throw Vocabulary.unsupported("The tokenizer of " + file + " is a sentencepiece model "
                    + (escapes
                            ? "of type " + modelType + " (1, unigram, and 2, BPE, are supported)"
                            : "that keeps spaces")
                    + ". Put the model's tokenizer.json beside it.");
        }
        vocabulary.apply(file, folder);
        // T5 ends its texts, all others begin them, unless the configuration says otherwise.
        boolean t5 = folder.tokenizerClass().startsWith("T5");
        Boolean addBos = folder.flag("add_bos_token");
        Boolean addEos = folder.flag("add_eos_token");
        int bos = id(folder, "bos_token", t5 ? null : bosPiece);
        int eos = id(folder, "eos_token", eosPiece);
        return vocabulary.build(
                new Vocabulary.Source(file, "pieces", "pieces' types", "pieces' scores", "merges"),
                modelType == BPE ? Vocabulary.Kind.SENTENCE_PIECE : Vocabulary.Kind.UNIGRAM,
                "default",
                new String[0],
                new Vocabulary.Special(
                        bos >= 0 ? bos : folder.configuredId("bos_token_id"),
                        eos,
                        folder.eos(vocabulary::id),
                        folder.eos(vocabulary::id).length == 0,
                        id(folder, "unk_token", unknownPiece),
                        addBos != null ? addBos : !t5,
                        addEos != null ? addEos : t5),
                new Vocabulary.Spaces(addPrefix, removeExtra, asSuffix, charsMap));
    }

    private int id(ModelFolder folder, String field, @Nullable String standard) {
        String token = folder.token(field);
        int said = token == null ? -1 : vocabulary.id(token);
        return said >= 0 || standard == null ? said : vocabulary.id(standard);
    }
}
