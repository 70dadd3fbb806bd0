package shoal.codec.sim;

import java.lang.reflect.Method;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.ArgumentsProvider;
import org.junit.jupiter.params.support.ParameterDeclarations;

/** Derives the seeds of {@link SeedSource} from the test's name. */
final class SeedSourceProvider implements ArgumentsProvider {
    @Override
    public Stream<? extends Arguments> provideArguments(ParameterDeclarations parameters, ExtensionContext context) {
        Method method = context.getRequiredTestMethod();
        String replayed = System.getProperty("shoal.seed");
        long base = (method.getDeclaringClass().getName() + "#" + method.getName()).hashCode();
        LongStream seeds = replayed != null
                ? LongStream.of(Long.parseLong(replayed))
                : LongStream.range(0, method.getAnnotation(SeedSource.class).value())
                        .map(index -> Seeds.derive(base, index));
        return seeds.mapToObj(seed -> Arguments.of(Named.of("replay with -Dshoal.seed=" + seed, seed)));
    }
}
