package io.millrace.shared.fold;

import io.millrace.shared.proto.End;
import io.millrace.shared.proto.Tokens;
import org.jspecify.annotations.Nullable;

/** The accepted output of one choice. */
final class Choice {

    private @Nullable IdList ids;
    private @Nullable StringBuilder text;
    private int accepted;
    private @Nullable End end;

    Choice(JournalFold.Keep keep) {
        ids = keep == JournalFold.Keep.COUNTS ? null : new IdList();
        text = keep == JournalFold.Keep.IDS_AND_TEXT ? new StringBuilder() : null;
    }

    void accept(Tokens tokens) {
        accepted += tokens.getIdsCount();
        IdList keptIds = ids;
        if (keptIds != null) {
            for (int i = 0; i < tokens.getIdsCount(); i++) {
                keptIds.add(tokens.getIds(i));
            }
        }
        StringBuilder keptText = text;
        if (keptText != null) {
            keptText.append(tokens.getText());
        }
    }

    void accept(End record) {
        end = record;
        if (text != null) {
            text.append(record.getText());
        }
    }

    /** Keeps its count, and drops ids and text. */
    void reduce() {
        ids = null;
        text = null;
    }

    int accepted() {
        return accepted;
    }

    @Nullable
    End end() {
        return end;
    }

    int[] ids() {
        if (ids == null) {
            throw new IllegalStateException("this fold keeps counts only, or no longer more");
        }
        return ids.toArray();
    }

    String text() {
        if (text == null) {
            throw new IllegalStateException("this fold keeps no text, or no longer");
        }
        return text.toString();
    }
}
