"""A labelled set: sentences of support pages in many languages, and the encodings in which such files still turn up."""

LANGUAGES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("cp1252", "iso-8859-1", "iso-8859-15", "mac-roman"): (
        "Sie können Ihre Stiefel innerhalb von 60 Tagen zurückgeben. Die Rücksendung ist kostenlos, größere Pakete "
        "holen wir auf Wunsch ab. Öffnen Sie dafür Ihr Konto und wählen Sie „Rücksendung“ aus.".replace(
            "„", '"'
        ).replace("“", '"'),
        "Vous pouvez retourner vos chaussures pendant soixante jours. Les frais de port sont à notre charge, même "
        "si la boîte a été ouverte. Écrivez-nous dès que possible, nous répondons à chaque demande.",
        "Puede devolver sus botas durante sesenta días. El envío es gratuito y la devolución también; escríbanos "
        "mañana o llame a nuestro teléfono de atención. ¿Tiene más preguntas? ¡Estamos aquí!",
        "Você pode devolver as botas em até sessenta dias. A devolução é grátis e não há taxa de reposição; "
        "informações sobre tamanhos estão na página de cada produto. Até já!",
        "Du kan returnera dina kängor inom sextio dagar. Frakten är fri när du köper för över femhundra kronor. "
        "Välj storlek på måttet från häl till tå, så går det inte fel.",
        "Du kan sende støvlerne tilbage inden for tres dage. Vi betaler fragten, også når æsken er åbnet. "
        "Spørgsmål besvares på hverdage mellem otte og seksten.",
        "Potete restituire gli scarponi entro sessanta giorni. La spedizione è gratuita, perché la qualità è più "
        "importante del prezzo. Così potrà provarli in città.",
        "Voit palauttaa kengät kuudenkymmenen päivän kuluessa. Palautus on maksuton, myös käytettyjen tuotteiden "
        "kohdalla. Kysyttävää? Ota yhteyttä asiakaspalveluun jo tänään.",
    ),
    ("cp1250", "iso-8859-2"): (
        "Buty można zwrócić w ciągu sześćdziesięciu dni. Zwrot jest bezpłatny, również gdy pudełko zostało "
        "otwarte. Proszę napisać do nas, odpowiemy jeszcze dziś. Łódź, Kraków, Gdańsk.",
        "Boty můžete vrátit do šedesáti dnů. Vrácení je zdarma, i když byla krabice otevřena. Napište nám, "
        "prosím, odpovíme ještě dnes. Velikosti najdete v tabulce níže.",
        "A bakancsot hatvan napon belül küldheti vissza. A visszaküldés díjtalan, akkor is, ha a dobozt már "
        "kibontották. Kérdése van? Írjon nekünk, még ma válaszolunk. Tűző nyári napokon is őrizze hűvösben.",
    ),
    ("cp1251", "koi8-r", "iso-8859-5", "cp866", "mac-cyrillic"): (
        "Вы можете вернуть ботинки в течение шестидесяти дней. Возврат бесплатный, даже если коробка была "
        "открыта. Напишите нам, и мы ответим сегодня.",
        "Доставка занимает от двух до пяти рабочих дней. Размеры указаны в таблице на странице товара, "
        "измеряйте стопу вечером и стоя.",
    ),
    ("cp1253", "iso-8859-7"): (
        "Μπορείτε να επιστρέψετε τις μπότες μέσα σε εξήντα ημέρες. Η επιστροφή είναι δωρεάν, ακόμη και αν το "
        "κουτί έχει ανοιχτεί. Γράψτε μας και θα απαντήσουμε σήμερα.",
    ),
    ("cp1254", "iso-8859-9"): (
        "Botlarınızı altmış gün içinde iade edebilirsiniz. Kutu açılmış olsa bile iade ücretsizdir. Sorularınız "
        "için bize yazın, bugün yanıt vereceğiz. Şehir içi gönderiler iki gün sürer.",
    ),
    ("cp1255", "iso-8859-8"): (
        "ניתן להחזיר את המגפיים תוך שישים יום. ההחזרה חינם גם אם הקופסה נפתחה. כתבו לנו ונענה עוד היום.",
    ),
    ("cp1256", "iso-8859-6"): (
        "يمكنك إرجاع الحذاء خلال ستين يوما. الإرجاع مجاني حتى لو فتحت العلبة. اكتب لنا وسنجيب اليوم.",
    ),
    ("shift_jis", "euc_jp", "iso2022_jp"): (
        "ブーツは購入から六十日以内であれば返品できます。箱を開けた後でも返品は無料です。ご質問はお気軽にお問い合わせください。",
    ),
    ("gb18030", "gb2312"): (
        "您可以在六十天内退回靴子。即使包装已经打开,退货也是免费的。如有疑问,请写信给我们,我们今天就会回复。",
    ),
    ("big5",): ("您可以在六十天內退回靴子。即使包裝已經打開,退貨也是免費的。如有疑問,請寫信給我們,我們今天就會回覆。",),
    ("euc_kr", "cp949"): (
        "부츠는 육십 일 이내에 반품할 수 있습니다. 상자를 열었더라도 반품은 무료입니다. "
        "궁금한 점은 언제든지 문의해 주세요.",
    ),
    ("cp874",): ("คุณสามารถคืนรองเท้าบูทได้ภายในหกสิบวัน การคืนสินค้าฟรีแม้เปิดกล่องแล้ว",),
    ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"): (
        "Boots may be returned within sixty days – even when the box was opened. “Questions?” Write to us.",
        "Sie können Ihre Stiefel innerhalb von 60 Tagen zurückgeben.",
        "Вы можете вернуть ботинки в течение шестидесяти дней.",
        "ブーツは六十日以内であれば返品できます。 Boots and hats.",
    ),
}


def _samples() -> list[tuple[str, str]]:
    """Each text whole, its first sentence alone, and many times over, in each encoding that has all its characters."""
    samples = []
    for encodings, texts in LANGUAGES.items():
        for encoding in encodings:
            for text in texts:
                for sample in (text, text * 20):
                    try:
                        sample.encode(encoding)
                    except UnicodeEncodeError:
                        continue
                    samples.append((encoding, sample))
    return samples


SAMPLES = _samples()
