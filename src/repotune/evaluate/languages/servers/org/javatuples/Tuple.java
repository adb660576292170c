package org.javatuples;

import java.util.Arrays;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;

/** What MultiPL-E's Java programs expect of the library org.javatuples: values that compare by what they hold. */
public abstract class Tuple implements Iterable<Object>, Comparable<Tuple>, java.io.Serializable {
    private final List<Object> values;

    Tuple(Object... values) {
        this.values = Collections.unmodifiableList(Arrays.asList(values));
    }

    public Object getValue(int place) {
        return values.get(place);
    }

    public int getSize() {
        return values.size();
    }

    public List<Object> toList() {
        return values;
    }

    public Object[] toArray() {
        return values.toArray();
    }

    public boolean contains(Object value) {
        return values.contains(value);
    }

    public int indexOf(Object value) {
        return values.indexOf(value);
    }

    @Override
    public Iterator<Object> iterator() {
        return values.iterator();
    }

    @Override
    @SuppressWarnings("unchecked")
    public int compareTo(Tuple other) {
        for (int place = 0; place < Math.min(getSize(), other.getSize()); place++) {
            int order = ((Comparable<Object>) getValue(place)).compareTo(other.getValue(place));
            if (order != 0) {
                return order;
            }
        }
        return Integer.compare(getSize(), other.getSize());
    }

    @Override
    public boolean equals(Object other) {
        return other != null && getClass() == other.getClass() && values.equals(((Tuple) other).values);
    }

    @Override
    public int hashCode() {
        return values.hashCode();
    }

    @Override
    public String toString() {
        return values.toString();
    }
}
