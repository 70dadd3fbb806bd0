package shoal.verticles.cli;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.jline.reader.EndOfFileException;
import org.jline.reader.LineReader;
import org.jline.reader.LineReaderBuilder;
import org.jline.reader.UserInterruptException;
import org.jline.reader.impl.DefaultParser;
import org.jline.reader.impl.completer.StringsCompleter;
import org.jline.terminal.Terminal;
import org.jline.terminal.TerminalBuilder;
import org.jspecify.annotations.Nullable;

/** Where the messages of a chat come from. */
interface ChatInput extends AutoCloseable {
    /** @return the next line without its end, or null at the end of all */
    @Nullable String line(String sign) throws IOException;

    @Override
    void close();

    /** The terminal, where there is one; else standard input, without signs. @param commands that the tabulator completes */
    static ChatInput open(List<String> commands) {
        if (System.console() != null && System.console().isTerminal()) {
            try {
                return new Edited(TerminalBuilder.builder().dumb(false).build(), commands);
            } catch (IOException | IllegalStateException noTerminal) {
                return new Piped(true); // typed without editing
            }
        }
        return new Piped(false);
    }

    /** Lines that can be edited and called back. */
    final class Edited implements ChatInput {
        private final Terminal terminal;
        private final LineReader reader;

        Edited(Terminal terminal, List<String> commands) {
            this.terminal = terminal;
            var whole = new DefaultParser();
            whole.setEscapeChars(null); // backslashes and quotes are text here
            whole.setQuoteChars(null);
            reader = LineReaderBuilder.builder()
                    .terminal(terminal)
                    .parser(whole)
                    .completer(new StringsCompleter(commands))
                    .option(LineReader.Option.DISABLE_EVENT_EXPANSION, true)
                    .build();
        }

        @Override
        public @Nullable String line(String sign) {
            while (true) {
                try {
                    return reader.readLine(sign);
                } catch (UserInterruptException cleared) {
                    if (cleared.getPartialLine().isEmpty()) {
                        System.err.println("Ctrl-D or /quit ends.");
                    }
                } catch (EndOfFileException end) {
                    return null;
                }
            }
        }

        @Override
        public void close() {
            try {
                terminal.close();
            } catch (IOException failure) {
                throw new UncheckedIOException(failure);
            }
        }
    }

    /** Another program's, or a file's. */
    final class Piped implements ChatInput {
        private final BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        private final boolean signs;

        Piped(boolean signs) {
            this.signs = signs;
        }

        @Override
        public @Nullable String line(String sign) throws IOException {
            if (signs) {
                System.err.print(sign);
                System.err.flush();
            }
            return in.readLine();
        }

        @Override
        public void close() {
            // standard input is the process's
        }
    }
}
