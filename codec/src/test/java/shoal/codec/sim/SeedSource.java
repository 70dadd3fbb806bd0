package shoal.codec.sim;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.params.provider.ArgumentsSource;

/** Gives a test as many seeds (long), the same in every run; {@code -Dshoal.seed=S} gives S alone. */
@Target(ElementType.METHOD)
@Retention(RetentionPolicy.RUNTIME)
@ArgumentsSource(SeedSourceProvider.class)
public @interface SeedSource {
    int value();
}
