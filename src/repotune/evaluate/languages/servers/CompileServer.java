import java.io.*;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.*;
import javax.tools.*;

/** Compiles sources that come on stdin, in memory, and writes the classes to stdout; server.py says in which form. */
public final class CompileServer {
    private static final JavaCompiler COMPILER = ToolProvider.getSystemJavaCompiler();
    // Without processors a source cannot have code of its own run while it is compiled.
    private static final List<String> OPTIONS = List.of("-proc:none", "-nowarn", "-classpath");

    public static void main(String[] arguments) throws IOException {
        DataInputStream questions = new DataInputStream(new BufferedInputStream(System.in));
        DataOutputStream answers = new DataOutputStream(new BufferedOutputStream(System.out));
        List<String> options = new ArrayList<>(OPTIONS);
        options.add(arguments[0]);
        // One file manager for good keeps what it has read of the platform's own classes.
        try (StandardJavaFileManager platform = COMPILER.getStandardFileManager(null, null, StandardCharsets.UTF_8)) {
            while (true) {
                String name;
                try {
                    name = new String(readBlock(questions), StandardCharsets.UTF_8);
                } catch (EOFException end) {
                    return;
                }
                answer(platform, options, name, new String(readBlock(questions), StandardCharsets.UTF_8), answers);
            }
        }
    }

    private static void answer(StandardJavaFileManager platform, List<String> options, String name, String text,
                               DataOutputStream answers) throws IOException {
        Memory memory = new Memory(platform);
        StringWriter errors = new StringWriter();
        boolean made = COMPILER.getTask(errors, memory, null, options, null, List.of(new Source(name, text))).call();
        writeBlock(answers, made ? new byte[0] : (errors + "\n").getBytes(StandardCharsets.UTF_8));
        for (Map.Entry<String, ByteArrayOutputStream> each : memory.made.entrySet()) {
            writeBlock(answers, (each.getKey().replace('.', '/') + ".class").getBytes(StandardCharsets.UTF_8));
            writeBlock(answers, each.getValue().toByteArray());
        }
        writeBlock(answers, new byte[0]);
        answers.flush();
    }

    private static byte[] readBlock(DataInputStream input) throws IOException {
        byte[] block = new byte[input.readInt()];
        input.readFully(block);
        return block;
    }

    private static void writeBlock(DataOutputStream output, byte[] block) throws IOException {
        output.writeInt(block.length);
        output.write(block);
    }

    private static final class Source extends SimpleJavaFileObject {
        private final String name;
        private final String text;

        Source(String name, String text) {
            super(URI.create("memory:///" + name), Kind.SOURCE);
            this.name = name;
            this.text = text;
        }

        @Override
        public String getName() {
            return name;
        }

        @Override
        public CharSequence getCharContent(boolean ignoreEncodingErrors) {
            return text;
        }
    }

    private static final class Memory extends ForwardingJavaFileManager<StandardJavaFileManager> {
        final Map<String, ByteArrayOutputStream> made = new LinkedHashMap<>();

        Memory(StandardJavaFileManager platform) {
            super(platform);
        }

        @Override
        public JavaFileObject getJavaFileForOutput(Location location, String name, JavaFileObject.Kind kind,
                                                   FileObject sibling) {
            return new SimpleJavaFileObject(URI.create("memory:///" + name.replace('.', '/') + kind.extension), kind) {
                @Override
                public OutputStream openOutputStream() {
                    ByteArrayOutputStream stream = new ByteArrayOutputStream();
                    made.put(name, stream);
                    return stream;
                }
            };
        }
    }
}
